#include "simd/avx512.h"

#include "kernels/table.h"

namespace evenflow::avx512 {
extern const Kernels<float> kernels_float = make_kernels<Vec<float>>("avx512");
extern const Kernels<double> kernels_double = make_kernels<Vec<double>>("avx512");
}  // namespace evenflow::avx512
