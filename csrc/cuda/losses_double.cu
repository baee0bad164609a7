#include "cuda/losses.cuh"

namespace evenflow::cuda {

template void loss(cudaStream_t, const AnyLoss&, const Rows<double>&);
template void predict(cudaStream_t, const Rows<double>&, const Control*, std::int64_t);
template void metric_kernels(MetricKernel<double>*);

}  // namespace evenflow::cuda
