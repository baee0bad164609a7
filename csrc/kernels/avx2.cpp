#include "simd/avx2.h"

#include "kernels/table.h"

namespace evenflow::avx2 {
extern const Kernels<float> kernels_float = make_kernels<Vec<float>>("avx2");
extern const Kernels<double> kernels_double = make_kernels<Vec<double>>("avx2");
}  // namespace evenflow::avx2
