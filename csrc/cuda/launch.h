// What the executor may ask the device for: each a launch of one kernel on a stream.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/arguments.h"
#include "program/spec.h"

namespace evenflow::cuda {

enum class Form { plain, second_transposed, first_transposed };  // of a product's operands

// ---- stages.cu

template <class T>
void product(cudaStream_t, Form, const Product<T>&);
// The product, if there is one, and the segments; the way back has them in reverse, after the gradient from above.
template <class T>
void forward_columns(cudaStream_t, const Columns<T>&, const Control*);
template <class T>
void backward_columns(cudaStream_t, const Columns<T>&, const Control*);

// ---- batches.cu

// The rows of the control's step: inputs, rescaled; targets or labels; weights.
template <class T>
struct Batch {
  int rows = 0, stride = 0;
  T* inputs = nullptr;
  double factor = 1, offset = 0;
  int target_stride = 0;
  T* targets = nullptr;
  std::int64_t* labels = nullptr;
  double* weights = nullptr;
};
template <class T>
void gather(cudaStream_t, const Batch<T>&, Control*, std::int64_t batch_size);
// What a loss's sum is divided by, where that is no constant: the weights of rows, or those that are not ignored.
struct Divisor {
  const double* weights = nullptr;
  const std::int64_t* labels = nullptr;  // nullptr: none are ignored
  std::int64_t ignored = no_class;
  int rows = 0;
  double* to = nullptr;
};
void divide(cudaStream_t, const Divisor&);

// The sums of a step are added to the call's, and the next step may be gathered.
struct Sums {
  int rows = 0;
  const double *losses = nullptr, *weights = nullptr;
  double loss_weight = 1;
  const double *activities = nullptr, *penalties = nullptr;
  int activity_count = 0, penalty_count = 0;
  struct State {
    const double* records;
    int width, at;
    bool counts, weighted;
  };
  const State* states = nullptr;
  int state_count = 0;
  std::int64_t capacity = 0;
};
void add_up(cudaStream_t, const Sums&, Control*);
void next_step(cudaStream_t, Control*);

// ---- losses.cuh

template <class T>
struct Rows {
  LossRows<T> in;
  int rows = 0, stride = 0;
  double weight = 1;                // of the loss
  const double* divisor = nullptr;  // nullptr: in has the scales already
  T* scratch = nullptr;             // [row][3 * padded units]
};
template <class T>
void loss(cudaStream_t, const AnyLoss&, const Rows<T>&);
template <class T>
void predict(cudaStream_t, const Rows<T>&, const Control*, std::int64_t batch_size);

// What writes the records of each kind of metric, on the device.
template <class T>
void metric_kernels(MetricKernel<T>* on_device);

// ---- rows.cu

// A row operation, there and back: y of x, or dx of dy.
template <class T>
struct Normalized {
  int rows = 0, units = 0, stride = 0;
  double epsilon = 0;
  bool centered = false;
  const T* x = nullptr;
  T *y = nullptr, *inverses = nullptr;
  const T* dy = nullptr;
  T* dx = nullptr;
  T* scratch = nullptr;  // [row][2 * padded units]
};
template <class T>
void normalize_rows(cudaStream_t, const Normalized<T>&);
template <class T>
void normalize_rows_backward(cudaStream_t, const Normalized<T>&);

// ---- update.cu

template <class T>
struct Update {
  const Slice* slices = nullptr;
  int first_slice = 0, slice_count = 0;  // that are updated, of `all`
  int all = 0;
  const Trained* variables = nullptr;
  int rates = 1;
  T *parameters = nullptr, *gradients = nullptr;
  T* slots[most_slots] = {};
  T* average = nullptr;
  double clip_value = 0, clip_norm = 0, global_norm = 0;  // 0: no limit
  double *squares = nullptr, *penalties = nullptr;        // of each slice
};
std::size_t spent_size(const AnyRule&);
// What a step's rule and decay are on the device.
void write_spent(void* to, const AnyRule&, const Decay&, double rate, double keep, bool overwrites);
// Adds the penalties' gradients, and their values up; gradients null: only the values.
template <class T>
void penalize(cudaStream_t, const Update<T>&, bool with_gradients);
template <class T>
void square_sums(cudaStream_t, const Update<T>&);
template <class T>
void update(cudaStream_t, const AnyRule& kind, const Update<T>&, const Control*);
// Each column of a kernel, or a vector (inputs 0), is scaled to a norm within the limits.
template <class T>
void limit_norms(cudaStream_t, T* w, int inputs, int units, int stride, const NormLimits&);

}  // namespace evenflow::cuda
