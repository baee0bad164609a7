// The arena of a program, and what its kernels are told of it.
#include "cuda/program.h"

#include <algorithm>

#include "cuda/support.h"

namespace evenflow::cuda {

Settings& settings() {
  static Settings of_process;
  return of_process;
}

namespace {

Plan supported(Plan plan) {
  refuse_unsupported(plan);
  return plan;
}

template <class T>
Kernels<T> named(const Kernels<T>& kernels) {
  Kernels<T> own = kernels;
  own.isa = "cuda";
  own.layout = Layout{warp};
  return own;
}

// Pieces of one block of memory, each on a boundary that every access of the device likes.
class Places {
 public:
  template <class P>
  void take(P*& pointer, std::ptrdiff_t count) {
    constexpr std::size_t boundary = 256;
    pieces_.emplace_back(reinterpret_cast<char**>(&pointer), bytes_);
    bytes_ +=
        (sizeof(P) * static_cast<std::size_t>(std::max<std::ptrdiff_t>(count, 1)) + boundary - 1) / boundary * boundary;
  }
  std::size_t bytes() const { return bytes_; }
  void settle(char* base) const {
    for (auto [pointer, offset] : pieces_) *pointer = base + offset;
  }

 private:
  std::vector<std::pair<char**, std::size_t>> pieces_;
  std::size_t bytes_ = 0;
};

}  // namespace

template <class T>
Program<T>::Program(Plan plan, const Kernels<T>& kernels, bool fusion)
    : plan_(supported(std::move(plan))), k_(named(kernels)), fusion_(fusion) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "starting");
  check(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking), "starting");
  check(cudaStreamCreateWithFlags(&sums_, cudaStreamNonBlocking), "starting");
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "starting");
  if (settings().library && Matmul::available()) matmul_ = std::make_unique<Matmul>(settings().tf32);
  place();
  for (const Variable& v : plan_.variables)
    if (v.initial != 0) {
      const std::vector<T> value(static_cast<std::size_t>(v.units), static_cast<T>(v.initial));
      pack(v, parameters_ + v.offset, value.data());
    }
  reset_slots();
}

template <class T>
Program<T>::~Program() {
  graphs_.clear();
  if (event_ != nullptr) cudaEventDestroy(event_);
  for (cudaStream_t stream : {sums_, side_, stream_})
    if (stream != nullptr) cudaStreamDestroy(stream);
}

template <class T>
void Program<T>::place() {
  Places places;
  const Layout& layout = plan_.layout;
  const std::ptrdiff_t rows = plan_.capacity, outputs = layout.padded(plan_.units(0));
  std::ptrdiff_t scratch = 3 * outputs;
  for (const Stage& stage : plan_.stages)
    if (of_rows(stage.map)) scratch = std::max<std::ptrdiff_t>(scratch, 2 * layout.padded(stage.units));
  places.take(parameters_, plan_.parameter_size);
  places.take(gradients_, plan_.trainable_size);
  places.take(slots_, plan_.trainable_size * static_cast<std::ptrdiff_t>(plan_.slots.size()));
  places.take(activations_, plan_.activation_size);
  dz_.resize(plan_.stages.size());
  for (std::size_t s = 0; s < dz_.size(); ++s) places.take(dz_[s], layout.padded(plan_.stages[s].units) * rows);
  places.take(targets_, outputs * rows);
  places.take(scratch_, scratch * rows);
  places.take(labels_, rows);
  places.take(losses_, rows);
  places.take(weights_, rows);
  std::ptrdiff_t width = 0;
  for (const MetricSpec& metric : plan_.spec.outputs[0].metrics) {
    const Metric settings = metric.settings_for(plan_.units(0));
    const int numbers = static_cast<int>(metric.traits().width(settings));
    const bool counts = metric.traits().counts;
    states_.push_back({nullptr, numbers, static_cast<int>(result_count_ - first_state), counts, metric.weighted});
    result_count_ += metric.traits().size(settings);
    width += numbers;
  }
  places.take(records_, width * rows);
  for (const Stage& stage : plan_.stages)
    for (const evenflow::Segment& segment : stage.segments)
      if (segment.activity.active()) activity_panels_ += (stage.units + panel_width - 1) / panel_width;
  places.take(activity_sums_, activity_panels_);
  places.take(divisor_, 1);
  places.take(results_, result_count_);
  places.take(control_, 1);
  arena_ = Buffer(places.bytes());
  places.settle(arena_.as<char>());
  check(cudaMemset(arena_.as(), 0, arena_.bytes()), "clearing memory");
  std::ptrdiff_t record = 0;
  for (Sums::State& state : states_) {
    state.records = records_ + record * rows;
    record += state.width;
  }

  describe_segments();
  describe_metrics();
  describe_update();
  check(cudaDeviceSynchronize(), "starting");
}

// A table of the device, which the program keeps.
template <class T>
template <class E>
E* Program<T>::table(const std::vector<E>& from) {
  if (from.empty()) return nullptr;
  tables_.emplace_back(sizeof(E) * from.size());
  check(cudaMemcpy(tables_.back().as(), from.data(), tables_.back().bytes(), cudaMemcpyHostToDevice), "copying to it");
  return tables_.back().template as<E>();
}

template <class T>
void Program<T>::describe_segments() {
  double* activities = activity_sums_;
  for (const Stage& stage : plan_.stages) {
    std::vector<Segment<T>> all;
    for (const evenflow::Segment& from : stage.segments) {
      Segment<T> s;
      s.form = from.form;
      if (from.form == Affine::normalize)
        s.moments = from.source == Statistics::applied ? Moments::applied
                    : from.source == Statistics::given ? Moments::given
                    : from.batch_statistics            ? Moments::batch
                                                       : Moments::moving;
      s.invert = from.invert;
      s.epsilon = from.epsilon;
      s.momentum = from.momentum;
      s.unbiased = from.unbiased;
      s.shift = of_variable(from.shift);
      s.scale = of_variable(from.scale);
      s.mean = of_variable(from.mean);
      s.variance = of_variable(from.variance);
      s.statistics = activations_ + from.statistics;
      s.dshift = gradient_of(from.shift);
      s.dscale = gradient_of(from.scale);
      s.activation = from.activation;
      std::copy(from.parameters.begin(), from.parameters.end(), s.parameters);
      s.learned = of_variable(from.learned);
      s.dlearned = gradient_of(from.learned);
      s.noise = from.noise.kind;
      std::copy_n(from.noise.parameters, noise_parameters, s.noise_settings);
      s.seed = from.noise.seed;
      s.number = from.noise.number;
      s.left_out = from.left_out;
      s.activity = from.activity;
      if (from.activity.active()) {
        s.activity_sums = activities;
        activities += (stage.units + panel_width - 1) / panel_width;
      }
      s.in = activations_ + from.in;
      s.out = activations_ + from.out;
      s.quiet = activations_ + from.quiet;
      all.push_back(s);
    }
    device_segments_.push_back(all.size() > most_segments ? table(all) : nullptr);
    segments_.push_back(all);
  }
}

template <class T>
void Program<T>::describe_metrics() {
  const auto& asked = plan_.spec.outputs[0].metrics;
  Buffer on_device(sizeof(MetricKernel<T>) * MetricKinds::size);
  metric_kernels(on_device.as<MetricKernel<T>>());
  check(cudaGetLastError(), "starting a kernel (is the extension built for this GPU?)");
  std::vector<MetricKernel<T>> kernels(MetricKinds::size);
  check(cudaMemcpy(kernels.data(), on_device.as(), on_device.bytes(), cudaMemcpyDeviceToHost), "starting a kernel");
  std::vector<MetricOutput<T>> all;
  for (std::size_t m = 0; m < asked.size(); ++m) {
    Metric settings = asked[m].settings_for(plan_.units(0));
    settings.thresholds = table(asked[m].thresholds);
    all.push_back({kernels[asked[m].kind], settings, const_cast<double*>(states_[m].records)});
  }
  metrics_ = table(all);
  device_states_ = table(states_);
}

template <class T>
void Program<T>::describe_update() {
  std::vector<Slice> slices;
  std::vector<Trained> trained;
  for (std::size_t i = 0; i < plan_.variables.size(); ++i) {
    const Variable& v = plan_.variables[i];
    Trained t;
    t.rate = v.rate;
    t.moves = plan_.rates[static_cast<std::size_t>(v.rate)] != 0;
    t.decays = v.decays;
    t.penalty = v.regularization.penalty;
    t.proximal = v.regularization.proximal;
    t.nonnegative = v.regularization.nonnegative;
    t.first_slice = static_cast<int>(slices.size());
    if (v.trainable)
      for (std::ptrdiff_t done = 0; done < v.size; done += update_block)
        slices.push_back({static_cast<int>(i), static_cast<int>(done / update_block), v.offset + done,
                          static_cast<int>(std::min<std::ptrdiff_t>(update_block, v.size - done))});
    t.slices = static_cast<int>(slices.size()) - t.first_slice;
    trained.push_back(t);
  }
  update_.slices = table(slices);
  update_.all = update_.slice_count = static_cast<int>(slices.size());
  for (std::size_t s = 0; s < plan_.stages.size(); ++s) {
    int first = update_.all, end = 0;  // of the stage's variables, which are neighbours
    for (std::size_t i = 0; i < plan_.variables.size(); ++i) {
      const Variable& v = plan_.variables[i];
      if (!v.trainable || v.stages.front() != static_cast<int>(s)) continue;
      first = std::min(first, trained[i].first_slice);
      end = std::max(end, trained[i].first_slice + trained[i].slices);
    }
    slices_of_.emplace_back(first, std::max(first, end));
  }
  update_.variables = table(trained);
  update_.rates = static_cast<int>(plan_.rates.size());
  update_.parameters = parameters_;
  update_.gradients = gradients_;
  for (int s = 0; s < plan_.rule_slots; ++s) update_.slots[s] = slot(s);
  if (plan_.average >= 0) update_.average = slot(plan_.average);
  const OptimizerSpec& o = plan_.spec.optimizer;
  update_.clip_value = o.clipvalue.value_or(0);
  update_.clip_norm = o.clipnorm.value_or(0);
  update_.global_norm = o.global_clipnorm.value_or(0);
  const std::vector<double> zeros(slices.size());
  update_.squares = table(zeros);
  update_.penalties = table(zeros);
  if (o.optimizer) rule_ = spending_of(o, {0.1, 1, 0.5, nullptr}).rule;
}

template <class T>
void Program<T>::unpack(const Variable& v, const T* from, T* to) const {
  const std::size_t width = sizeof(T) * static_cast<std::size_t>(v.units);
  check(cudaMemcpy2D(to, width, from, sizeof(T) * static_cast<std::size_t>(plan_.layout.padded(v.units)), width,
                     static_cast<std::size_t>(std::max(v.inputs, 1)), cudaMemcpyDeviceToHost),
        "copying from it");
}

template <class T>
void Program<T>::pack(const Variable& v, T* to, const T* from) const {
  const std::size_t width = sizeof(T) * static_cast<std::size_t>(v.units);
  check(cudaMemcpy2D(to, sizeof(T) * static_cast<std::size_t>(plan_.layout.padded(v.units)), from, width, width,
                     static_cast<std::size_t>(std::max(v.inputs, 1)), cudaMemcpyHostToDevice),
        "copying to it");
  check(cudaDeviceSynchronize(), "copying to it");
}

template <class T>
void Program<T>::reset_slots() {
  const std::size_t elements = static_cast<std::size_t>(plan_.trainable_size) * plan_.slots.size();
  check(cudaMemset(slots_, 0, sizeof(T) * elements), "clearing memory");
  check(cudaDeviceSynchronize(), "clearing memory");
  const auto& optimizer = plan_.spec.optimizer.optimizer;
  const double initial = optimizer ? std::visit([](const auto& o) { return o.initial_slot(); }, *optimizer) : 0;
  if (initial == 0) return;
  for (const Variable& v : plan_.variables) {  // not all at once: padding stays zero
    if (!v.trainable) continue;
    const std::size_t size = static_cast<std::size_t>(v.units) * static_cast<std::size_t>(std::max(v.inputs, 1));
    const std::vector<T> value(size, static_cast<T>(initial));
    for (int s = 0; s < plan_.rule_slots; ++s) pack(v, slot(s) + v.offset, value.data());
  }
}

template <class T>
double Program<T>::momenta_until(Momenta& known, std::int64_t step, const double* momentum) const {
  return std::visit([&](const auto& o) { return known.until(o, step, momentum); }, *plan_.spec.optimizer.optimizer);
}

template class Program<float>;
template class Program<double>;

}  // namespace evenflow::cuda
