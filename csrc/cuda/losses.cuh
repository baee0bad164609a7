// Loss and metrics of a batch: a warp for each row runs the loops that vectors of a processor run. They stand together,
// since a kernel calls no function of another file by its address.
#pragma once

#include "cuda/launch.h"
#include "cuda/vector.cuh"
#include "kernels/losses.h"
#include "kernels/metrics.h"

namespace evenflow {

// Rows of few classes go like others: a warp has lanes enough.
template <class T>
struct LossTiles<cuda::Vec<T, 32>> : RowValues<cuda::Vec<T, 32>> {
  EVENFLOW_INLINE static bool fit(const SparseCategoricalCrossentropy&, const LossRows<T>&) { return false; }
  EVENFLOW_INLINE static void run(const LossRows<T>&, T*, int, int) {}
};

namespace cuda {

namespace {

constexpr int rows_of_block = 4;

template <class T>
struct OwnRow {
  int row;
  LossRows<T> in;
  T* scratch;
  bool valid;

  // The pointers are those of the row, so that it is row 0 of a panel as wide as all units.
  __device__ explicit OwnRow(const Rows<T>& all)
      : row(static_cast<int>(blockIdx.x) * rows_of_block + static_cast<int>(threadIdx.x) / warp), in(all.in) {
    valid = row < all.rows;
    if (!valid) return;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * all.stride;
    in.z += at;
    in.stride = Layout{warp}.full();
    if (in.dz != nullptr) in.dz += at;
    if (in.targets != nullptr) in.targets += at;
    if (in.labels != nullptr) in.labels += row;
    if (in.weights != nullptr) in.weights += row;
    if (in.losses != nullptr) in.losses += row;
    in.record = row;
    if (all.divisor != nullptr) in.divide(*all.divisor, all.weight, all.rows);
    scratch = all.scratch + 3 * at;
  }
};

template <class T, class Loss>
__global__ void loss_kernel(Loss loss, Rows<T> all) {
  const OwnRow<T> own(all);
  if (own.valid) RowLosses<Vec<T, warp>>::run(loss, own.in, own.scratch, 0, 1);
}

template <class T>
__global__ void predict_kernel(Rows<T> all, const Control* control, std::int64_t batch_size) {
  using V = Vec<T, warp>;
  using Kernels = RowKernels<V>;
  const OwnRow<T> own(all);
  if (!own.valid) return;
  const int units = own.in.units;
  T* const z = own.scratch;
  Kernels::gather(z, own.in.z, own.in.stride, 0, units);
  Kernels::apply(own.in.output, z, z + Layout{warp}.padded(units), units);
  T* to = static_cast<T*>(control->out) + (control->step * batch_size + own.row) * units;
  Kernels::each(units, [&](int j, int valid) {
    const V y = V::load(z + j);
    (own.in.output == Output::sigmoid ? sigmoid(y) : y).store(to + j, valid);
  });
}

template <class T, class Kind>
__device__ void record(const Metric& m, const MetricRow<T>& row, double* to, std::ptrdiff_t stride) {
  metric_kinds::Records<Vec<T, warp>>::template record<Kind>(m, row, to, stride);
}
template <class T, class... Kind>
__device__ void fill(MetricKernel<T>* table, List<Kind...>) {
  ((*table++ = record<T, Kind>), ...);
}
template <class T>
__global__ void fill_kernel(MetricKernel<T>* table) {
  fill(table, MetricKinds{});
}

template <class T>
unsigned blocks(const Rows<T>& all) {
  return static_cast<unsigned>((all.rows + rows_of_block - 1) / rows_of_block);
}

}  // namespace

template <class T>
void loss(cudaStream_t stream, const AnyLoss& any, const Rows<T>& all) {
  std::visit([&](const auto& loss) { loss_kernel<<<blocks(all), rows_of_block * warp, 0, stream>>>(loss, all); }, any);
}

template <class T>
void predict(cudaStream_t stream, const Rows<T>& all, const Control* control, std::int64_t batch_size) {
  predict_kernel<<<blocks(all), rows_of_block * warp, 0, stream>>>(all, control, batch_size);
}

// Where functions lie on the device, only the device knows.
template <class T>
void metric_kernels(MetricKernel<T>* on_device) {
  fill_kernel<<<1, 1>>>(on_device);
}

}  // namespace cuda
}  // namespace evenflow
