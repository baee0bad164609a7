// The records of metrics, which the loss's warps write: one function for each kind, as on a processor.
#include "cuda/launch.h"
#include "cuda/vector.cuh"
#include "kernels/metrics.h"

namespace evenflow::cuda {

namespace {

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

}  // namespace

// Where functions lie on the device, only the device knows.
template <class T>
void metric_kernels(MetricKernel<T>* on_device) {
  fill_kernel<<<1, 1>>>(on_device);
}
template void metric_kernels(MetricKernel<float>*);
template void metric_kernels(MetricKernel<double>*);

}  // namespace evenflow::cuda
