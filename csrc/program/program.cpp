#include "program/program.h"

#include <chrono>
#include <limits>
#include <numeric>

#include "program/packing.h"
#include "program/pieces.h"
#include "program/step.h"

namespace evenflow {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr double trial_seconds = 4e-4;   // long enough to see a difference between thread counts
constexpr double settled_seconds = 1.0;  // then the choice is made again: neighbours come and go
constexpr double parallel_flops = 2e6;   // a forward pass below this is over before a second thread is awake

}  // namespace

template <class T>
Program<T>::Program(Plan plan, const Kernels<T>& kernels, bool fusion)
    : plan_(std::move(plan)), k_(kernels), fusion_(fusion) {
  const Layout& layout = plan_.layout;
  constexpr std::ptrdiff_t line = 64 / sizeof(T);
  const std::ptrdiff_t widest = plan_.gradient_panel_size;
  std::ptrdiff_t bytes = 0;
  std::vector<std::pair<T**, std::ptrdiff_t>> places;
  const auto place = [&](T** pointer, std::ptrdiff_t elements) {
    places.emplace_back(pointer, bytes);
    bytes += (elements + line) / line * line * static_cast<std::ptrdiff_t>(sizeof(T));
  };
  int most = 0;
  for (const Stage& stage : plan_.stages) most = std::max(most, layout.padded(stage.units));
  place(&parameters_, plan_.parameter_size);
  place(&gradients_, plan_.trainable_size);
  place(&slots_, plan_.trainable_size * static_cast<std::ptrdiff_t>(plan_.slots.size()));
  place(&activations_, plan_.activation_size);
  dz_.resize(static_cast<std::size_t>(plan_.gradient_buffers));
  for (T*& dz : dz_) place(&dz, widest);
  place(&zeros_, std::max(most, layout.full() * layout.full()));
  outputs_.resize(plan_.heads.size());
  for (std::size_t h = 0; h < outputs_.size(); ++h) {
    const std::ptrdiff_t elements = static_cast<std::ptrdiff_t>(layout.padded(plan_.units(h))) * plan_.capacity;
    place(&outputs_[h].probabilities, elements);
    place(&outputs_[h].targets, elements);
  }
  const std::ptrdiff_t doubles = bytes;
  written_.resize(plan_.variables.size());
  for (std::size_t i = 0; i < plan_.variables.size(); ++i) {
    const Variable& v = plan_.variables[i];
    most = std::max(most, layout.padded(v.units));  // sums are kept for each panel
    if (!v.is_table() || !v.trainable) continue;
    written_[i].resize(static_cast<std::size_t>((v.size + strip - 1) / strip));
  }
  const std::ptrdiff_t panels = layout.panels(most);
  std::ptrdiff_t columns = 0;  // of labels, losses, weights and metrics
  for (std::size_t h = 0; h < outputs_.size(); ++h) {
    columns += 3;
    for (const MetricSpec& metric : plan_.spec.outputs[h].metrics) columns += metric.width(plan_.units(h));
  }
  const std::ptrdiff_t sums = panels * static_cast<std::ptrdiff_t>(plan_.variables.size());
  const std::ptrdiff_t numbers = plan_.capacity * columns + 4 * sums + panels * plan_.activities;
  arena_.allocate(static_cast<std::size_t>(bytes + numbers * static_cast<std::ptrdiff_t>(sizeof(double))));
  char* base = static_cast<char*>(arena_.data());
  for (auto [pointer, offset] : places) *pointer = reinterpret_cast<T*>(base + offset);
  double* records = reinterpret_cast<double*>(base + doubles);
  const auto take = [&](std::ptrdiff_t width) {
    double* const found = records;
    records += plan_.capacity * width;
    return found;
  };
  for (std::size_t h = 0; h < outputs_.size(); ++h) {
    OutputMemory<T>& out = outputs_[h];
    const int units = plan_.units(h);
    out.losses = take(1);
    for (const MetricSpec& metric : plan_.spec.outputs[h].metrics)
      out.metrics.push_back({k_.metrics[metric.kind], metric.settings_for(units), take(metric.width(units))});
    out.labels = reinterpret_cast<std::int64_t*>(take(1));
    out.weights = take(1);
  }
  square_sums_ = records;
  update_sums_ = square_sums_ + sums;
  weight_sums_ = update_sums_ + sums;
  penalty_sums_ = weight_sums_ + sums;
  activity_sums_ = penalty_sums_ + sums;
  for (const Plan::Orthogonals& of : plan_.orthogonals) {
    const Variable& v = plan_.variables[static_cast<std::size_t>(of.variable)];
    orthogonal_sums_.emplace_back(
        static_cast<std::size_t>(layout.panels(v.regularization.orthogonal.rows ? v.inputs : v.units)));
  }
  for (const Variable& v : plan_.variables)
    if (v.initial != 0) std::fill_n(parameters_ + v.offset, v.units, static_cast<T>(v.initial));
  for (const Stage& stage : plan_.stages)  // what has no statistics: offset, inverse, scale
    for (const Segment& s : stage.segments)
      if (s.source == Statistics::applied) {
        const std::ptrdiff_t n = layout.padded(stage.units);
        std::fill_n(activations_ + s.statistics + n, n, static_cast<T>(s.offset));
        std::fill_n(activations_ + s.statistics + 2 * n, n, T(1));
        std::fill_n(activations_ + s.statistics + 3 * n, n, static_cast<T>(s.factor));
      }
  if (initial_slot() != 0) reset_slots();  // else memory that nobody needs yet stays untouched
}

template <class T>
double Program<T>::momenta_until(Momenta& known, std::int64_t step, const double* momentum) const {
  return std::visit([&](const auto& o) { return known.until(o, step, momentum); }, *plan_.spec.optimizer.optimizer);
}

template <class T>
double Program<T>::initial_slot() const {
  const auto& optimizer = plan_.spec.optimizer.optimizer;
  return optimizer ? std::visit([](const auto& o) { return o.initial_slot(); }, *optimizer) : 0;
}

template <class T>
void Program<T>::reset_slots() {
  std::fill_n(slots_, plan_.trainable_size * static_cast<std::ptrdiff_t>(plan_.slots.size()), T(0));
  if (initial_slot() == 0) return;
  for (const Variable& v : plan_.variables) {  // not all at once: padding stays zero
    if (!v.trainable) continue;
    const std::ptrdiff_t size = v.is_table() ? std::ptrdiff_t{v.rows} * v.columns
                                             : static_cast<std::ptrdiff_t>(v.units) * (v.inputs == 0 ? 1 : v.inputs);
    const std::vector<T> value(static_cast<std::size_t>(size), static_cast<T>(initial_slot()));
    for (int s = 0; s < plan_.rule_slots; ++s) pack(v, slot(s) + v.offset, value.data());
  }
}

template <class T>
void Program<T>::touch_tables() {
  for (std::vector<unsigned char>& marks : written_) std::fill(marks.begin(), marks.end(), 1);
}

template <class T>
double Program<T>::flops(int rows) const {
  double total = 0;
  for (const Stage& stage : plan_.stages)
    if (multiplies(stage.map)) total += 2.0 * rows * stage.inputs * stage.units;
  return total;
}

template <class T>
int Program<T>::team_size(std::int64_t rows) const {
  const int wished = threads.load();
  if (wished > 0) return team::granted(wished);
  const double work = flops(static_cast<int>(std::min<std::int64_t>(rows, plan_.capacity)));
  return work < parallel_flops ? 1 : team::granted(team::limit());
}

template <class T>
void Program<T>::prepare_scratch(int count) {
  if (scratch_.size() >= static_cast<std::size_t>(count)) return;
  const std::ptrdiff_t size = plan_.scratch_size() + (plan_.branches ? plan_.panel_stride() : 0);
  scratch_.resize(static_cast<std::size_t>(count));
  for (auto& own : scratch_) own.resize(static_cast<std::size_t>(size) + 64 / sizeof(T));
  spendings_.assign(static_cast<std::size_t>(count), std::vector<Spending>(plan_.rates.size()));
}

template <class T>
Progress Program<T>::run(const Feeds& x, const Feeds& y, const Run& run) {
  const double start = now();
  const std::int64_t all_steps = (x[0].rows + run.batch_size - 1) / run.batch_size;
  const std::int64_t end = run.max_steps > 0 ? std::min(all_steps, run.first_step + run.max_steps) : all_steps;
  Progress progress = run.after != nullptr ? *run.after : Progress();
  const std::size_t heads = outputs_.size();
  if (run.after == nullptr) {
    progress.losses.resize(heads);
    progress.weights.resize(heads);
    for (std::size_t h = 0; h < heads; ++h)
      for (const MetricSpec& metric : plan_.spec.outputs[h].metrics)
        progress.metrics.emplace_back(static_cast<std::size_t>(metric.size(plan_.units(h))));
  }
  progress.next_step = run.first_step;
  if (run.training) norms_known = false;
  const double seconds_before = progress.seconds;
  forward_rows = 0;

  const auto steps = [&](int wanted, std::int64_t until, double seconds) {
    Barrier barrier;
    std::atomic<bool> stop{false};
    bool measured = false;
    const double begin = now();
    const std::int64_t first = progress.next_step, started = iterations;
    const Momenta before = momenta;
    const std::int64_t steps_before = run.health ? run.health->steps : 0,
                       rows_before = run.health ? run.health->rows : 0;
    team::run(wanted, [&](int thread, int count) {
      if (thread == 0) progress.threads = count;
      Momenta own = before;
      std::int64_t steps_counted = steps_before, rows_counted = rows_before;
      if (!run.training && plan_.penalized) {  // else the backward pass of each step adds them up
        Step(*this, barrier, thread, count, run.batch_size, started).sum_penalties();
        barrier.wait(count);
      }
      for (std::int64_t step = first; step < until; ++step) {
        const std::int64_t position = step * run.batch_size;
        const int rows = static_cast<int>(std::min<std::int64_t>(run.batch_size, x[0].rows - position));
        Step self(*this, barrier, thread, count, rows, started + step - first + 1);
        if (run.momentum) self.momentum = run.momentum[step];
        if (run.training) self.draws = {true, static_cast<std::uint64_t>(started + step - first), {}, 0};
        if (run.training) self.orthogonalize(true);
        self.gather(x, position);
        for (std::size_t h = 0; h < heads; ++h) {
          if (!plan_.spec.outputs[h].loss) continue;
          self.gather_targets(h, y[h], position);
          if (run.weighted(h)) self.gather_weights(h, run, position);
        }
        self.counts_for(run.health, steps_counted, rows_counted);
        steps_counted += self.steps;
        if (self.samples) rows_counted += rows;
        self.forward(run.training, 0, true);
        for (std::size_t h = 0; h < heads; ++h) self.loss(h, run.training, run.weighted(h));
        if (thread == 0 && now() - begin >= seconds) stop.store(true, std::memory_order_relaxed);
        barrier.wait(count);
        const bool last = step + 1 == until || stop.load(std::memory_order_relaxed);
        if (thread == 0) {  // in row order, whatever the threads
          double loss = 0;
          for (std::size_t h = 0; h < heads; ++h) loss += add_output(progress, h, rows, run.weighted(h));
          progress.loss += loss + self.activity_penalty();
        }
        if (run.training) {
          self.accumulates = plan_.accumulator >= 0;
          self.samples = self.samples && self.steps;
          self.measures = self.steps && (run.norms != nullptr || self.needs_norm() || self.samples);
          if (self.steps)
            self.rules(run.learning_rate[step],
                       momenta_until(own, self.step, self.momentum ? &*self.momentum : nullptr));
          const bool fused = fusion_ && !self.needs_norm();
          self.passing = fused && !last;  // the last step's gradients are kept
          if (!last) {
            self.next = &x;
            self.next_position = position + rows;
          }
          self.learn(fused);
          self.limit_across();
        }
        barrier.wait(count);  // nobody gathers the next batch while this one is read
        if (thread == 0) {
          if (run.training) {
            ++iterations;
            momenta = own;
            norms_known = self.measures;
            measured = measured || self.measures;
            if (self.measures && run.norms != nullptr) note_norms(run.norms + step * plan_.trained);
            if (run.health != nullptr) {
              run.health->steps = steps_counted;
              run.health->rows = rows_counted;
              if (self.samples) note_health(*run.health);
            }
          }
          if (plan_.penalized) progress.loss += rows * self.weight_penalty();
          progress.rows += rows;
          ++progress.steps;
          progress.next_step = step + 1;
        }
        if (last) return;
      }
    });
    if (measured) {
      progress.gradient_norms = gradient_norms();
      progress.gradient_norm = gradient_norm();
    }
    return now() - begin;
  };

  const int most = threads.load() > 0 ? team::granted(threads.load()) : team::granted(team::limit());
  prepare_scratch(most);
  const auto left = [&] { return run.seconds - (now() - start); };
  const auto more = [&] { return progress.next_step < end && (progress.next_step == run.first_step || left() > 0); };
  if (!run.training || threads.load() > 0 || most == 1) {
    const int count = run.training || threads.load() > 0 ? most : std::min(most, team_size(run.batch_size));
    if (more()) steps(count, end, run.seconds);
  }
  // The bits do not depend on the thread count, so the counts race each other on the steps that are to be done anyway.
  // A race goes on in the next call where the time of this one ends.
  while (more()) {
    if (race_.over(most)) {
      steps(race_.winner, end, std::min(left(), race_.until - now()));
      if (now() >= race_.until) race_ = Race();
      continue;
    }
    const std::int64_t before = progress.steps;
    const double spent = steps(race_.next, end, std::min(trial_seconds, left()));
    race_.enter(spent / static_cast<double>(progress.steps - before), most);
    if (race_.over(most)) race_.until = now() + settled_seconds;
  }
  progress.seconds = seconds_before + (now() - start);
  return progress;
}

template <class T>
double Program<T>::add_output(Progress& progress, std::size_t head, int rows, bool weighted) const {
  const OutputSpec& asked = plan_.spec.outputs[head];
  const OutputMemory<T>& out = outputs_[head];
  if (!asked.loss) return 0;
  std::size_t state = 0;  // its first among all outputs'
  for (std::size_t h = 0; h < head; ++h) state += outputs_[h].metrics.size();
  for (std::size_t m = 0; m < out.metrics.size(); ++m)
    add_records(asked.metrics[m].traits(), out.metrics[m].settings, progress.metrics[state + m].data(),
                out.metrics[m].records, plan_.capacity, rows,
                weighted && asked.metrics[m].weighted ? out.weights : nullptr);
  progress.weights[head] += weighted ? std::accumulate(out.weights, out.weights + rows, 0.0) : rows;
  const double loss = std::accumulate(out.losses, out.losses + rows, 0.0);
  progress.losses[head] += loss;
  return asked.loss->weight * loss;
}

template <class T>
void Program<T>::predictions(std::size_t head, T* out, int rows) const {
  const int units = plan_.units(head);
  const auto& metrics = plan_.spec.outputs[head].metrics;
  const double* records = nullptr;
  for (std::size_t m = 0; m < metrics.size(); ++m)
    if (metrics[m].sees_predictions()) records = outputs_[head].metrics[m].records;
  for (int row = 0; row < rows; ++row)
    for (int j = 0; j < units; ++j) *out++ = static_cast<T>(records[j * plan_.capacity + row]);
}

template <class T>
double Program<T>::penalty(int rows) {
  if (!plan_.penalized && plan_.activities == 0) return 0;
  prepare_scratch(1);
  Barrier barrier;
  const Step self(*this, barrier, 0, 1, rows, iterations);
  self.sum_penalties();
  return self.weight_penalty() + self.activity_penalty() / rows;
}

template class Program<float>;
template class Program<double>;

}  // namespace evenflow
