// A step, as it is asked of the device: once for each batch size, to be captured.
#include <algorithm>

#include "cuda/program.h"

namespace evenflow::cuda {

namespace {

// Everything between construction and the end is captured; an error on the way leaves the stream usable.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capturing a step");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    cudaGraph_t graph = nullptr;
    if (open_ && cudaStreamEndCapture(stream_, &graph) != cudaSuccess) cudaGetLastError();
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
  cudaGraphExec_t end() {
    cudaGraph_t graph = nullptr;
    open_ = false;
    check(cudaStreamEndCapture(stream_, &graph), "capturing a step");
    cudaGraphExec_t exec = nullptr;
    const cudaError_t result = cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    check(result, "preparing a step");
    return exec;
  }

 private:
  cudaStream_t stream_;
  bool open_ = true;
};

// Whether the gradient of what comes out of a stage's segments is that of what comes in.
bool keeps_gradient(const Stage& stage) {
  for (const evenflow::Segment& s : stage.segments)
    if (s.form == Affine::normalize || s.activation != 0 || s.noise.kind >= 0 || s.activity.active()) return false;
  return true;
}

}  // namespace

template <class T>
typename Program<T>::Graph& Program<T>::graph(const Key& key) {
  Graph& found = graphs_[key];
  if (found.exec != nullptr) return found;
  Capture capture(stream_);
  const auto [mode, rows, batch_size, weighted, steps] = key;
  for (int i = 0; i < steps; ++i) enqueue(mode, rows, batch_size, weighted);
  check(cudaGetLastError(), "capturing a step");
  found.exec = capture.end();
  return found;
}

template <class T>
void Program<T>::fork(cudaStream_t to) {
  check(cudaEventRecord(event_, stream_), "capturing a step");
  check(cudaStreamWaitEvent(to, event_, 0), "capturing a step");
}
template <class T>
void Program<T>::join(cudaStream_t from) {
  check(cudaEventRecord(event_, from), "capturing a step");
  check(cudaStreamWaitEvent(stream_, event_, 0), "capturing a step");
}

template <class T>
void Program<T>::enqueue(Mode mode, int rows, int batch_size, bool weighted) {
  const Stage& input = plan_.stages[0];
  const auto& loss = plan_.spec.outputs[0].loss;
  Batch<T> batch;
  batch.rows = rows;
  batch.stride = plan_.layout.padded(input.units);
  batch.inputs = activations_ + input.product;
  batch.factor = input.factor;
  batch.offset = input.offset;
  if (mode != Mode::predict) {
    batch.target_stride = plan_.layout.padded(plan_.units(0));
    if (loss->labels())
      batch.labels = labels_;
    else
      batch.targets = targets_;
    if (weighted) batch.weights = weights_;
  }
  gather(stream_, batch, control_, batch_size);
  enqueue_forward(rows, mode == Mode::train);
  if (mode == Mode::predict) {
    Rows<T> all{};
    const Head& head = plan_.heads[0];
    all.in.output = head.output;
    all.in.units = plan_.units(0);
    all.in.z = activations_ + plan_.stages.back().output;
    all.rows = rows;
    all.stride = plan_.layout.padded(all.in.units);
    all.scratch = scratch_;
    cuda::predict(stream_, all, control_, batch_size);
    next_step(stream_, control_);
    return;
  }
  enqueue_loss(rows, mode == Mode::train, weighted);
  const bool early = !plan_.penalized;  // else the weights' penalties come with the way back
  if (early) {
    fork(sums_);
    enqueue_sums(sums_, rows, weighted);
  }
  if (mode == Mode::train) {
    enqueue_backward(rows);
    enqueue_update(rows);
  }
  if (early)
    join(sums_);
  else
    enqueue_sums(stream_, rows, weighted);
}

template <class T>
void Program<T>::enqueue_sums(cudaStream_t stream, int rows, bool weighted) {
  Sums sums;
  sums.rows = rows;
  sums.losses = losses_;
  sums.weights = weighted ? weights_ : nullptr;
  sums.loss_weight = plan_.spec.outputs[0].loss->weight;
  sums.activities = activity_sums_;
  sums.activity_count = activity_panels_;
  sums.penalties = update_.penalties;
  sums.penalty_count = plan_.penalized ? update_.slice_count : 0;
  sums.states = device_states_;
  sums.state_count = static_cast<int>(states_.size());
  sums.capacity = plan_.capacity;
  add_up(stream, sums, control_);
}

template <class T>
Columns<T> Program<T>::columns(std::size_t number, int rows, bool training) const {
  const Stage& stage = plan_.stages[number];
  Columns<T> c;
  c.segments = device_segments_[number];
  if (c.segments == nullptr) std::copy(segments_[number].begin(), segments_[number].end(), c.first);
  c.count = static_cast<int>(stage.segments.size());
  c.rows = rows;
  c.units = stage.units;
  c.stride = plan_.layout.padded(stage.units);
  c.dz = dz_[number];
  c.training = training;
  return c;
}

template <class T>
Normalized<T> Program<T>::normalized(std::size_t number, int rows) const {
  const Stage& stage = plan_.stages[number];
  Normalized<T> n;
  n.rows = rows;
  n.units = stage.units;
  n.stride = plan_.layout.padded(stage.units);
  n.epsilon = stage.epsilon;
  n.centered = stage.map == Map::layer_normalization;
  n.x = activations_ + plan_.stages[number - 1].output;
  n.y = activations_ + stage.product;
  n.inverses = activations_ + stage.inverses;
  n.dy = dz_[number];
  n.dx = dz_[number - 1];
  n.scratch = scratch_;
  return n;
}

template <class T>
void Program<T>::multiply(cudaStream_t stream, Form form, const Product<T>& p) {
  if (matmul_)
    (*matmul_)(stream, stream == side_ ? 1 : 0, form, p);
  else
    product(stream, form, p);
}

template <class T>
void Program<T>::enqueue_forward(int rows, bool training) {
  for (std::size_t s = 0; s < plan_.stages.size(); ++s) {
    const Stage& stage = plan_.stages[s];
    Columns<T> c = columns(s, rows, training);
    if (of_rows(stage.map)) normalize_rows(stream_, normalized(s, rows));
    if (stage.map == Map::linear) {
      Product<T>& p = c.product;
      p.a = activations_ + plan_.stages[s - 1].output;
      p.b = of_variable(stage.kernel);
      p.c = activations_ + stage.product;
      p.m = rows;
      p.n = stage.units;
      p.k = stage.inputs;
      p.a_stride = plan_.layout.padded(stage.inputs);
      p.b_stride = p.c_stride = c.stride;
      if (large(rows)) {
        multiply(stream_, Form::plain, p);
        p.a = nullptr;
      }
    }
    if (c.product.a != nullptr || c.count > 0) forward_columns(stream_, c, control_);
  }
}

template <class T>
void Program<T>::enqueue_loss(int rows, bool training, bool weighted) {
  const OutputSpec& asked = plan_.spec.outputs[0];
  const LossSpec& spec = *asked.loss;
  const Head& head = plan_.heads[0];
  Rows<T> all{};
  LossRows<T>& in = all.in;
  in.output = head.output;
  in.from_logits = head.fused_loss;
  in.units = plan_.units(0);
  in.z = activations_ + plan_.stages.back().output;
  in.dz = training ? dz_.back() : nullptr;
  in.weights = weighted ? weights_ : nullptr;
  if (spec.labels())
    in.labels = labels_;
  else
    in.targets = targets_;
  in.losses = losses_;
  in.metrics = metrics_;
  in.metric_count = static_cast<int>(states_.size());
  in.metric_stride = plan_.capacity;
  in.one_hot_labels = in.labels != nullptr && want_one_hot(asked.metrics);
  all.rows = rows;
  all.stride = plan_.layout.padded(in.units);
  all.weight = spec.weight;
  all.scratch = scratch_;
  const bool by_weights = weighted && spec.reduction == Reduction::weighted_mean;
  const bool ignores = spec.labels() && spec.ignore_class() != no_class;
  if (spec.reduction == Reduction::sum) {
    in.divide(1, spec.weight, rows);
  } else if (!by_weights && !ignores) {
    in.divide(rows, spec.weight, rows);
  } else {
    Divisor d;
    d.weights = by_weights ? weights_ : nullptr;
    d.labels = ignores ? labels_ : nullptr;
    d.ignored = spec.ignore_class();
    d.rows = rows;
    d.to = divisor_;
    divide(stream_, d);
    all.divisor = divisor_;
  }
  loss(stream_, spec.loss, all);
}

// The gradients of kernels, and their updates as the schedule has them, go beside the way down, which does not wait.
template <class T>
void Program<T>::enqueue_backward(int rows) {
  bool beside = false;
  for (const Operation& operation : fused(rows) ? plan_.fused : plan_.separate) {
    if (operation.kind == Operation::meet) continue;
    const auto s = static_cast<std::size_t>(operation.stage);
    const Stage& stage = plan_.stages[s];
    if (operation.kind == Operation::rows) {
      normalize_rows_backward(stream_, normalized(s, rows));
    } else if (operation.kind == Operation::slopes) {
      Columns<T> c = columns(s, rows, true);
      if (s + 1 < plan_.stages.size() && plan_.stages[s + 1].map == Map::linear) {
        const Stage& above = plan_.stages[s + 1];
        Product<T>& p = c.product;
        p.a = dz_[s + 1];
        p.b = of_variable(above.kernel);
        p.c = dz_[s];
        p.m = rows;
        p.n = stage.units;
        p.k = above.units;
        p.a_stride = p.b_stride = plan_.layout.padded(above.units);
        p.c_stride = c.stride;
        if (large(rows)) {
          multiply(stream_, Form::second_transposed, p);
          p.a = nullptr;
        }
      }
      if (c.product.a == nullptr && c.count == 0) continue;
      const bool aside = c.product.a == nullptr && keeps_gradient(stage);
      if (aside) fork(side_);
      beside = beside || aside;
      backward_columns(aside ? side_ : stream_, c, control_);
    } else {
      fork(side_);
      beside = true;
      enqueue_weights(side_, s, rows);
      if (operation.kind == Operation::weights_and_update) enqueue_update(side_, s);
    }
  }
  if (beside) join(side_);
}

template <class T>
void Program<T>::enqueue_weights(cudaStream_t stream, std::size_t s, int rows) {
  const Stage& stage = plan_.stages[s];
  if (stage.kernel < 0 || gradient_of(stage.kernel) == nullptr) return;
  Product<T> p;
  p.a = activations_ + plan_.stages[s - 1].output;
  p.b = dz_[s];
  p.c = gradient_of(stage.kernel);
  p.m = stage.inputs;
  p.n = stage.units;
  p.k = rows;
  p.a_stride = plan_.layout.padded(stage.inputs);
  p.b_stride = p.c_stride = plan_.layout.padded(stage.units);
  if (large(rows))
    multiply(stream, Form::first_transposed, p);
  else
    product(stream, Form::first_transposed, p);
}

// Of everything, after the way back.
template <class T>
void Program<T>::enqueue_update(int rows) {
  if (fused(rows) || update_.slice_count == 0) return;
  if (plan_.penalized) penalize(stream_, update_, true);
  if (update_.clip_norm != 0 || update_.global_norm != 0) square_sums(stream_, update_);
  cuda::update(stream_, rule_, update_, control_);
  for (const Variable& v : plan_.variables) limit_norms_of(stream_, v);
}

template <class T>
void Program<T>::enqueue_update(cudaStream_t stream, std::size_t stage) {
  Update<T> part = update_;
  part.first_slice = slices_of_[stage].first;
  part.slice_count = slices_of_[stage].second - part.first_slice;
  if (part.slice_count == 0) return;
  cuda::update(stream, rule_, part, control_);
  for (const Variable& v : plan_.variables)
    if (!v.stages.empty() && v.stages.front() == static_cast<int>(stage)) limit_norms_of(stream, v);
}

template <class T>
void Program<T>::limit_norms_of(cudaStream_t stream, const Variable& v) {
  if (v.trainable && v.regularization.norms && plan_.rates[static_cast<std::size_t>(v.rate)] != 0)
    limit_norms(stream, parameters_ + v.offset, v.inputs, v.units, plan_.layout.padded(v.units),
                *v.regularization.norms);
}

template class Program<float>;
template class Program<double>;

}  // namespace evenflow::cuda
