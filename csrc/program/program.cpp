#include "program/program.h"

#include <chrono>
#include <limits>
#include <numeric>

#include "program/step.h"

namespace evenflow {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr double trial_seconds = 4e-4;   // long enough to see a difference between thread counts
constexpr double settled_seconds = 1.0;  // then the choice is made again: neighbours come and go
constexpr double parallel_flops = 2e6;   // a forward pass below this is over before a second thread is awake
constexpr std::ptrdiff_t parallel_parameters = 16000;  // of an update: 6 us on two threads, 9 on one

}  // namespace

template <class T>
Program<T>::Program(Plan plan, const Kernels<T>& kernels, bool fusion)
    : plan_(std::move(plan)), k_(kernels), fusion_(fusion) {
  const Layout& layout = plan_.layout;
  constexpr std::ptrdiff_t line = 64 / sizeof(T);
  const std::ptrdiff_t widest = plan_.gradient_panel_size;
  const std::ptrdiff_t padded = layout.padded(plan_.units());
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
  place(&zeros_, most);
  place(&probabilities_, padded * plan_.capacity);
  place(&targets_, padded * plan_.capacity);
  const std::ptrdiff_t doubles = bytes;
  const std::ptrdiff_t panels = layout.panels(most);
  std::ptrdiff_t metrics = 0;
  for (const MetricSpec& metric : plan_.spec.metrics) metrics += metric.width(plan_.units());
  const std::ptrdiff_t sums = panels * static_cast<std::ptrdiff_t>(plan_.variables.size());
  const std::ptrdiff_t numbers = plan_.capacity * (3 + metrics) + 2 * sums + panels * plan_.activities;
  arena_.allocate(static_cast<std::size_t>(bytes + numbers * static_cast<std::ptrdiff_t>(sizeof(double))));
  char* base = static_cast<char*>(arena_.data());
  for (auto [pointer, offset] : places) *pointer = reinterpret_cast<T*>(base + offset);
  losses_ = reinterpret_cast<double*>(base + doubles);
  double* records = losses_ + plan_.capacity;
  for (const MetricSpec& metric : plan_.spec.metrics) {
    metrics_.push_back({k_.metrics[metric.kind], metric.settings_for(plan_.units()), records});
    records += plan_.capacity * metric.width(plan_.units());
  }
  labels_ = reinterpret_cast<std::int64_t*>(records);
  weights_ = reinterpret_cast<double*>(labels_ + plan_.capacity);
  square_sums_ = weights_ + plan_.capacity;
  penalty_sums_ = square_sums_ + sums;
  activity_sums_ = penalty_sums_ + sums;
  for (const Variable& v : plan_.variables)
    if (v.initial != 0) std::fill_n(parameters_ + v.offset, v.units, static_cast<T>(v.initial));
  for (const Stage& stage : plan_.stages)  // inverse and scale of what a row operation has applied
    for (const Segment& s : stage.segments)
      if (s.source == Statistics::applied)
        std::fill_n(activations_ + s.statistics + 2 * layout.padded(stage.units), 2 * layout.padded(stage.units), T(1));
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
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(v.units) * (v.inputs == 0 ? 1 : v.inputs);
    const std::vector<T> value(static_cast<std::size_t>(size), static_cast<T>(initial_slot()));
    for (int s = 0; s < plan_.rule_slots; ++s) pack(v, slot(s) + v.offset, value.data());
  }
}

template <class T>
double Program<T>::flops(int rows) const {
  double total = 0;
  for (const Stage& stage : plan_.stages)
    if (stage.kernel >= 0) total += 2.0 * rows * stage.inputs * stage.units;
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
Progress Program<T>::run(const Feeds& x, const Feed& y, const Run& run) {
  const double start = now();
  const std::int64_t all_steps = (x[0].rows + run.batch_size - 1) / run.batch_size;
  const std::int64_t end = run.max_steps > 0 ? std::min(all_steps, run.first_step + run.max_steps) : all_steps;
  Progress progress = run.after != nullptr ? *run.after : Progress();
  progress.metrics.resize(metrics_.size());
  for (std::size_t m = 0; m < metrics_.size(); ++m)
    progress.metrics[m].resize(static_cast<std::size_t>(plan_.spec.metrics[m].size(plan_.units())));
  progress.next_step = run.first_step;
  if (run.training) norms_known = false;
  const double seconds_before = progress.seconds;
  const bool weighted = run.weights != nullptr || run.class_weights != nullptr;
  forward_rows = 0;

  const auto steps = [&](int wanted, std::int64_t until, double seconds) {
    Barrier barrier;
    std::atomic<bool> stop{false};
    bool measured = false;
    const double begin = now();
    const std::int64_t first = progress.next_step, started = iterations;
    const Momenta before = momenta;
    team::run(wanted, [&](int thread, int count) {
      if (thread == 0) progress.threads = count;
      Momenta own = before;
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
        self.gather(x, position);
        self.gather_targets(y, position);
        if (weighted) self.gather_weights(run, position);
        self.forward(run.training);
        self.loss(run.training, weighted);
        if (thread == 0 && now() - begin >= seconds) stop.store(true, std::memory_order_relaxed);
        barrier.wait(count);
        const bool last = step + 1 == until || stop.load(std::memory_order_relaxed);
        if (thread == 0) {  // in row order, whatever the threads
          double loss = 0;
          for (int row = 0; row < rows; ++row) loss += losses_[row];
          progress.loss += loss + self.activity_penalty();
          add_metrics(progress, rows, weighted);
        }
        if (run.training) {
          self.accumulates = plan_.accumulator >= 0;
          self.measures = self.steps && (run.norms != nullptr || self.needs_norm());
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
          self.limit_vectors();
        }
        barrier.wait(count);  // nobody gathers the next batch while this one is read
        if (thread == 0) {
          if (run.training) {
            ++iterations;
            momenta = own;
            norms_known = self.measures;
            measured = measured || self.measures;
            if (self.measures && run.norms != nullptr) note_norms(run.norms + step * plan_.trained);
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
void Program<T>::add_metrics(Progress& progress, int rows, bool weighted) const {
  for (std::size_t m = 0; m < metrics_.size(); ++m)
    add_records(plan_.spec.metrics[m].traits(), metrics_[m].settings, progress.metrics[m].data(), metrics_[m].records,
                plan_.capacity, rows, weighted && plan_.spec.metrics[m].weighted ? weights_ : nullptr);
  double weight = rows;
  if (weighted) weight = std::accumulate(weights_, weights_ + rows, 0.0);
  progress.weight += weight;
}

template <class T>
void Program<T>::predictions(T* out, int rows) const {
  const int units = plan_.units();
  const double* records = nullptr;
  for (std::size_t m = 0; m < metrics_.size(); ++m)
    if (plan_.spec.metrics[m].sees_predictions()) records = metrics_[m].records;
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

template <class T>
void Program<T>::predict(const Feeds& x, T* out) {
  Feeds part = x;
  for (std::int64_t first = 0; first < x[0].rows; first += plan_.capacity) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      part[i].data = x[i].data + first * x[i].row_stride;
      part[i].rows = std::min<std::int64_t>(plan_.capacity, x[i].rows - first);
    }
    forward(part, out + first * plan_.units(), false, 0);
  }
  forward_rows = 0;
}

template <class T>
void Program<T>::forward(const Feeds& x, T* out, bool training, std::uint64_t draw) {
  const int rows = static_cast<int>(x[0].rows);
  const int wanted = team_size(rows);
  prepare_scratch(wanted);
  Barrier barrier;
  const int units = plan_.units();
  forward_draws_ = {training, draw, {}, 0};
  team::run(wanted, [&](int thread, int count) {
    Step self(*this, barrier, thread, count, rows, 0);
    self.draws = forward_draws_;
    self.gather(x, 0);
    self.forward(training);
    const T* y = self.finish_output();
    for (int row = self.first_row(thread); row < self.first_row(thread + 1); ++row)
      k_.collect(out + static_cast<std::ptrdiff_t>(row) * units, y, plan_.panel_stride(), row, units);
  });
  forward_rows = rows;
  forward_training_ = training;
}

template <class T>
void Program<T>::predict_mc(const Feeds& x, std::uint64_t seed, std::int64_t first_row, std::int64_t first,
                            std::int64_t count, double* mean, double* squares) {
  const int units = plan_.units();
  const int wanted = team_size(x[0].rows);
  prepare_scratch(wanted);
  forward_rows = 0;
  for (std::int64_t position = 0; position < x[0].rows; position += plan_.capacity) {
    const int rows = static_cast<int>(std::min<std::int64_t>(plan_.capacity, x[0].rows - position));
    Barrier barrier;
    team::run(wanted, [&](int thread, int threads_of_team) {
      Step self(*this, barrier, thread, threads_of_team, rows, 0);
      for (std::int64_t pass = first; pass < first + count; ++pass) {
        self.draws = {true, static_cast<std::uint64_t>(pass), seed, static_cast<std::uint32_t>(first_row + position)};
        // What lies below the lowest random layer is the same in every pass. Inputs themselves are not kept.
        const int from = pass == first ? 0 : plan_.noisy;
        self.gather(x, position, from);
        self.forward(false, from);
        const T* y = self.finish_output();
        for (int row = self.first_row(thread); row < self.first_row(thread + 1); ++row) {
          k_.collect(self.scratch, y, plan_.panel_stride(), row, units);
          for (int i = 0; i < units; ++i) {
            const std::int64_t at = (position + row) * units + i;
            const double value = static_cast<double>(self.scratch[i]), difference = value - mean[at];
            mean[at] += difference / static_cast<double>(pass + 1);  // Welford 1962
            squares[at] += difference * (value - mean[at]);
          }
        }
        barrier.wait(threads_of_team);  // nobody begins the next pass while this one's outputs are read
      }
    });
  }
}

template <class T>
void Program<T>::backward(const T* dy, const std::vector<T*>& dx) {
  const int rows = forward_rows;
  const int wanted = std::min(team_size(rows), static_cast<int>(scratch_.size()));
  const int last = static_cast<int>(plan_.stages.size()) - 1;
  const int units = plan_.units(), full = plan_.layout.full();
  Barrier barrier;
  team::run(wanted, [&](int thread, int count) {
    Step self(*this, barrier, thread, count, rows, 0);
    self.draws = forward_draws_;
    self.measures = true;
    self.own_panels(units, [&](int panel, int width) {
      const int valid = std::min(full, units - panel * full);
      for (int row = 0; row < rows; ++row) {
        T* to = self.gradient(last, panel) + static_cast<std::ptrdiff_t>(row) * width;
        std::copy_n(dy + static_cast<std::ptrdiff_t>(row) * units + panel * full, valid, to);
        std::fill(to + valid, to + width, T(0));
      }
    });
    barrier.wait(count);
    if (of_rows(plan_.output)) {
      k_.output_backward(plan_.output, self.gradient(last, 0), probabilities_, plan_.panel_stride(), units,
                         self.scratch, self.first_row(thread), self.first_row(thread + 1));
    } else if (plan_.output == Output::sigmoid) {
      self.own_panels(units, [&](int panel, int width) {
        self.sigmoid_kernel().backward[0](self.gradient(last, panel), nullptr,
                                          probabilities_ + panel * plan_.panel_stride(), rows, width, {}, nullptr,
                                          nullptr, nullptr);
      });
    }
    barrier.wait(count);
    self.follow(plan_.whole, forward_training_);
    self.merge_learned();
    for (int number = 0; number < static_cast<int>(plan_.stages.size()); ++number) {
      const Stage& stage = plan_.stages[static_cast<std::size_t>(number)];
      if (stage.map != Map::gather) continue;
      T* to = dx[static_cast<std::size_t>(stage.input)];
      self.own_panels(stage, [&](int panel, int width) {
        const int valid = std::min(full, stage.units - panel * full);
        T* dz = self.gradient(number, panel);
        if (stage.factor != 1) k_.rescale(dz, rows, width, stage.factor, 0);
        for (int row = 0; row < rows; ++row)
          std::copy_n(dz + static_cast<std::ptrdiff_t>(row) * width, valid,
                      to + static_cast<std::ptrdiff_t>(row) * stage.units + panel * full);
      });
    }
  });
  forward_rows = 0;  // the activations are spent
  norms_known = true;
}

template <class T>
double Program<T>::update(double learning_rate, std::optional<double> momentum) {
  const int wished = threads.load();
  const int most = team::granted(wished > 0 ? wished : team::limit());
  const int wanted = wished > 0 || plan_.trainable_size >= parallel_parameters ? most : 1;
  prepare_scratch(wanted);
  const Momenta before = momenta;
  Barrier barrier;
  team::run(wanted, [&](int thread, int count) {
    Step self(*this, barrier, thread, count, 1, iterations + 1);
    self.momentum = momentum;
    Momenta own = before;
    if (self.steps) self.rules(learning_rate, momenta_until(own, self.step, momentum ? &*momentum : nullptr));
    self.accumulates = plan_.accumulator >= 0;
    self.measures = self.accumulates || !norms_known;
    if (self.measures) {
      self.read_gradients();
      barrier.wait(count);
    }
    self.update();
    self.limit_vectors();
    if (thread == 0) momenta = own;
  });
  ++iterations;
  norms_known = true;
  return gradient_norm();
}

template <class T>
void Program<T>::unpack(const Variable& v, const T* packed, T* to) const {
  const int inputs = v.inputs == 0 ? 1 : v.inputs, full = plan_.layout.full();
  for (int panel = 0; panel < plan_.layout.panels(v.units); ++panel) {
    const int width = plan_.layout.width(v.units, panel), first = panel * full;
    for (int i = 0; i < inputs; ++i, packed += width)
      std::copy_n(packed, std::min(width, v.units - first), to + static_cast<std::ptrdiff_t>(i) * v.units + first);
  }
}

template <class T>
void Program<T>::pack(const Variable& v, T* packed, const T* from) const {
  const int inputs = v.inputs == 0 ? 1 : v.inputs, full = plan_.layout.full();
  for (int panel = 0; panel < plan_.layout.panels(v.units); ++panel) {
    const int width = plan_.layout.width(v.units, panel), first = panel * full;
    for (int i = 0; i < inputs; ++i, packed += width)
      std::copy_n(from + static_cast<std::ptrdiff_t>(i) * v.units + first, std::min(width, v.units - first), packed);
  }
}

template class Program<float>;
template class Program<double>;

}  // namespace evenflow
