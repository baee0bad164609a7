#include "cuda/losses.cuh"

namespace evenflow::cuda {

template void loss(cudaStream_t, const AnyLoss&, const Rows<float>&);
template void predict(cudaStream_t, const Rows<float>&, const Control*, std::int64_t);
template void metric_kernels(MetricKernel<float>*);

}  // namespace evenflow::cuda
