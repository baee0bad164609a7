// Runs of steps: the host writes down what the steps of some hundredths of a second need, has them replayed, and
// fetches their sums.
#include <algorithm>
#include <chrono>

#include "cuda/program.h"

namespace evenflow::cuda {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr int steps_at_once = 8;              // of a graph: fewer launches, and no gap between them
constexpr std::int64_t first_steps = 16;      // whose time says how many come next
constexpr std::int64_t most_steps = 1 << 16;  // of one part of a call

}  // namespace

template <class T>
Control Program<T>::begin(const Feeds& x, const Feeds& y, const Run& run) {
  Control control;
  resident_.begin();
  control.x = resident_.table(x[0], y[0].rows, stream_);
  control.y = resident_.table(y[0], y[0].rows, stream_);
  if (const Feed* weights = run.weights_of(0)) control.weights = resident_.table(*weights, y[0].rows, stream_);
  if (run.class_weights != nullptr) {
    const std::size_t bytes = sizeof(double) * static_cast<std::size_t>(run.classes);
    upload(classes_.reserve(std::max<std::size_t>(bytes, 8)), run.class_weights, bytes, stream_);
    control.class_weights = classes_.as<double>();
    control.classes = run.classes;
  }
  control.results = results_;
  return control;
}

template <class T>
void Program<T>::write_spendings(const Run& run, std::int64_t first, std::int64_t count) {
  const OptimizerSpec& o = plan_.spec.optimizer;
  const std::size_t size = spent_size(rule_);
  std::vector<char> all(size * plan_.rates.size() * static_cast<std::size_t>(count));
  char* to = all.data();
  Momenta known = momenta;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t number = iterations + k + 1;
    double own = 0;
    const double* momentum = nullptr;
    if (run.momentum) {
      own = run.momentum[first + k];
      momentum = &own;
    }
    const double product = momenta_until(known, number, momentum);
    const double keep = number == 1 ? 0 : o.ema_momentum.value_or(0);
    const bool overwrites = o.ema_overwrite_frequency > 0 && number % o.ema_overwrite_frequency == 0;
    for (const double factor : plan_.rates) {
      const Spending spending =
          spending_of(o, {run.learning_rate[first + k] * factor, static_cast<double>(number), product, momentum});
      write_spent(to, spending.rule, spending.decay, spending.rate, keep, overwrites);
      to += size;
    }
  }
  upload(spendings_.reserve(all.size()), all.data(), all.size(), stream_);
  check(cudaStreamSynchronize(stream_), "copying to it");
  momenta = known;
}

template <class T>
void Program<T>::replay(Mode mode, std::int64_t count, int batch_size, int rest, bool weighted) {
  const auto launch = [&](int rows, int steps) {
    check(cudaGraphLaunch(graph({mode, rows, batch_size, weighted, steps}).exec, stream_), "running steps");
  };
  for (; count >= steps_at_once; count -= steps_at_once) launch(batch_size, steps_at_once);
  for (; count > 0; --count) launch(batch_size, 1);
  if (rest > 0) launch(rest, 1);
  check(cudaStreamSynchronize(stream_), "running steps");
}

template <class T>
void Program<T>::add_results(Progress& progress) {
  std::vector<double> results(static_cast<std::size_t>(result_count_));
  download(results.data(), results_, sizeof(double) * results.size(), stream_);
  check(cudaStreamSynchronize(stream_), "copying from it");
  progress.loss += results[loss_sum];
  progress.losses[0] += results[output_loss];
  progress.weights[0] += results[weight_sum];
  std::size_t at = first_state;
  for (std::vector<double>& state : progress.metrics)
    for (double& sum : state) sum += results[at++];
}

template <class T>
Progress Program<T>::run(const Feeds& x, const Feeds& y, const Run& run) {
  if (run.health != nullptr)
    throw std::invalid_argument("train: health: expected None on the device 'cuda', received a Health");
  if (run.norms != nullptr)
    throw std::invalid_argument("train: gradient_norms: expected None on the device 'cuda', received an array");
  const double start = now();
  const std::int64_t rows = x[0].rows, all_steps = (rows + run.batch_size - 1) / run.batch_size;
  const std::int64_t end = run.max_steps > 0 ? std::min(all_steps, run.first_step + run.max_steps) : all_steps;
  const bool weighted = run.weighted(0);
  const Mode mode = run.training ? Mode::train : Mode::evaluate;
  Progress progress = run.after != nullptr ? *run.after : Progress();
  if (run.after == nullptr) {
    progress.losses.resize(1);
    progress.weights.resize(1);
    for (const MetricSpec& metric : plan_.spec.outputs[0].metrics)
      progress.metrics.emplace_back(static_cast<std::size_t>(metric.size(plan_.units(0))));
  }
  progress.next_step = run.first_step;
  Control control = begin(x, y, run);
  if (!run.training && plan_.penalized) penalize(stream_, update_, false);
  double& seconds = seconds_[{mode, static_cast<int>(std::min<std::int64_t>(rows, run.batch_size))}];
  const auto left = [&] { return run.seconds - (now() - start); };
  while (progress.next_step < end && (progress.next_step == run.first_step || left() > 0)) {
    const std::int64_t step = progress.next_step, first = step * run.batch_size;
    std::int64_t count = std::min(end - step, seconds > 0 ? most_steps : first_steps);
    if (seconds > 0 && left() < 1e6)
      count = std::min(count, std::max<std::int64_t>(1, static_cast<std::int64_t>(left() / seconds)));
    const std::int64_t part = std::min(rows - first, count * run.batch_size);  // rows
    control.first = first;
    control.draw = static_cast<std::uint64_t>(iterations);
    if (x[0].order != nullptr) {
      const std::size_t bytes = sizeof(std::int64_t) * static_cast<std::size_t>(part);
      upload(order_.reserve(bytes), x[0].order + first, bytes, stream_);
      control.order = order_.as<std::int64_t>();
    }
    if (run.training) {
      write_spendings(run, step, count);
      control.spendings = spendings_.as();
    }
    upload(control_, &control, sizeof control, stream_);
    check(cudaMemsetAsync(results_, 0, sizeof(double) * static_cast<std::size_t>(result_count_), stream_),
          "clearing sums");
    check(cudaStreamSynchronize(stream_), "copying to it");
    const double begun = now();
    replay(mode, part / run.batch_size, run.batch_size, static_cast<int>(part % run.batch_size), weighted);
    seconds = (now() - begun) / static_cast<double>(count);
    add_results(progress);
    if (run.training) iterations += count;
    progress.steps += count;
    progress.rows += part;
    progress.next_step += count;
  }
  progress.seconds += now() - start;
  return progress;
}

template <class T>
void Program<T>::predict(const Feeds& x, const std::vector<T*>& out) {
  const std::int64_t rows = x[0].rows;
  if (rows == 0) return;
  const int units = plan_.units(0);
  const int batch_size = static_cast<int>(std::min<std::int64_t>(rows, plan_.capacity));
  Control control;
  resident_.begin();
  control.x = resident_.once(x[0], rows, stream_);
  control.results = results_;
  const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(units);
  control.out = out_.reserve(bytes);
  upload(control_, &control, sizeof control, stream_);
  check(cudaStreamSynchronize(stream_), "copying to it");
  replay(Mode::predict, rows / batch_size, batch_size, static_cast<int>(rows % batch_size), false);
  download(out[0], out_.as(), bytes, stream_);
  check(cudaStreamSynchronize(stream_), "copying from it");
  resident_.release();
}

template class Program<float>;
template class Program<double>;

}  // namespace evenflow::cuda
