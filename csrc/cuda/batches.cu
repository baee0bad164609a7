// What a batch begins with and ends with: its rows from the data set, and its sums added to those of the call.
#include "cuda/columns.cuh"
#include "cuda/launch.h"

namespace evenflow::cuda {

namespace {

template <class To>
__device__ To element(const Table& table, std::int64_t row, int column) {
  const char* at = table.data + row * table.row_bytes;
  switch (table.element) {
    case Element::f32:
      return static_cast<To>(reinterpret_cast<const float*>(at)[column]);
    case Element::f64:
      return static_cast<To>(reinterpret_cast<const double*>(at)[column]);
    case Element::u8:
      return static_cast<To>(reinterpret_cast<const std::uint8_t*>(at)[column]);
    case Element::i32:
      return static_cast<To>(reinterpret_cast<const std::int32_t*>(at)[column]);
    default:
      return static_cast<To>(reinterpret_cast<const std::int64_t*>(at)[column]);
  }
}

// Of a row's class: the label, the largest of several targets, or the number that a single one is near.
template <class T>
__device__ std::int64_t class_of(const Batch<T>& b, const Table& y, std::int64_t from) {
  if (b.labels != nullptr) return element<std::int64_t>(y, from, 0);
  if (y.columns == 1) return static_cast<std::int64_t>(nearbyint(static_cast<double>(element<T>(y, from, 0))));
  int best = 0;
  for (int j = 1; j < y.columns; ++j)
    if (element<T>(y, from, j) > element<T>(y, from, best)) best = j;
  return best;
}

template <class T>
__global__ void gather_kernel(Batch<T> b, Control* control, std::int64_t batch_size) {
  const int row = static_cast<int>(blockIdx.x);
  const std::int64_t position = control->step * batch_size + row;
  const std::int64_t from = control->order != nullptr ? control->order[position] : control->first + position;
  const Table x = control->x, y = control->y;
  const int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  for (int j = first; j < x.columns; j += step) {
    T value = element<T>(x, from, j);
    if (b.factor != 1 || b.offset != 0) value = fma(value, T(b.factor), T(b.offset));
    b.inputs[static_cast<std::ptrdiff_t>(row) * b.stride + j] = value;
  }
  if (b.targets != nullptr)
    for (int j = first; j < y.columns; j += step)
      b.targets[static_cast<std::ptrdiff_t>(row) * b.target_stride + j] = element<T>(y, from, j);
  if (first != 0) return;
  if (row == 0) control->current = control->step;
  if (b.labels != nullptr) b.labels[row] = element<std::int64_t>(y, from, 0);
  if (b.weights == nullptr) return;
  double weight = control->weights.data != nullptr ? element<double>(control->weights, from, 0) : 1;
  if (control->class_weights != nullptr) {
    const std::int64_t number = class_of(b, y, from);
    if (number >= 0 && number < control->classes) weight *= control->class_weights[number];
  }
  b.weights[row] = weight;
}

constexpr int sum_threads = 256;

__global__ void divide_kernel(Divisor d) {
  __shared__ double shared[sum_threads];
  double own = 0;
  for (int row = static_cast<int>(threadIdx.x); row < d.rows; row += sum_threads)
    if (d.labels == nullptr || d.labels[row] != d.ignored) own += d.weights != nullptr ? d.weights[row] : 1;
  const double total = block_sum(own, shared);
  if (threadIdx.x == 0) *d.to = total;
}

__global__ void add_up_kernel(Sums s, Control* control) {
  __shared__ double shared[sum_threads];
  double* results = control->results;
  const auto total = [&](int count, auto term) {
    double own = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += sum_threads) own += term(i);
    return block_sum(own, shared);
  };
  const double loss = total(s.rows, [&](int row) { return s.losses[row]; });
  const double weight = s.weights == nullptr ? s.rows : total(s.rows, [&](int row) { return s.weights[row]; });
  const double activity = total(s.activity_count, [&](int i) { return s.activities[i]; });
  const double penalty = total(s.penalty_count, [&](int i) { return s.penalties[i]; });
  for (int i = 0; i < s.state_count; ++i) {
    const Sums::State& state = s.states[i];
    const double* weights = state.weighted ? s.weights : nullptr;
    double* to = results + first_state + state.at;
    for (int j = 0; j < state.width; ++j) {
      const double* records = state.records + j * s.capacity;
      if (!state.counts) {
        const double sum =
            total(s.rows, [&](int row) { return weights != nullptr ? records[row] * weights[row] : records[row]; });
        if (threadIdx.x == 0) to[j] += sum;
      } else if (threadIdx.x == 0) {  // in the order of rows, which may name the same place
        for (int row = 0; row < s.rows; ++row)
          if (records[row] >= 0) to[static_cast<std::ptrdiff_t>(records[row])] += weights != nullptr ? weights[row] : 1;
      }
    }
  }
  if (threadIdx.x != 0) return;
  results[loss_sum] += s.loss_weight * loss + activity + s.rows * penalty;
  results[output_loss] += loss;
  results[weight_sum] += weight;
  ++control->step;
}

__global__ void next_step_kernel(Control* control) { ++control->step; }

}  // namespace

template <class T>
void gather(cudaStream_t stream, const Batch<T>& b, Control* control, std::int64_t batch_size) {
  gather_kernel<<<static_cast<unsigned>(b.rows), 128, 0, stream>>>(b, control, batch_size);
}
template void gather(cudaStream_t, const Batch<float>&, Control*, std::int64_t);
template void gather(cudaStream_t, const Batch<double>&, Control*, std::int64_t);

void divide(cudaStream_t stream, const Divisor& d) { divide_kernel<<<1, sum_threads, 0, stream>>>(d); }
void add_up(cudaStream_t stream, const Sums& s, Control* control) {
  add_up_kernel<<<1, sum_threads, 0, stream>>>(s, control);
}
void next_step(cudaStream_t stream, Control* control) { next_step_kernel<<<1, 1, 0, stream>>>(control); }

}  // namespace evenflow::cuda
