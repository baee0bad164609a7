#include "simd/baseline.h"

#include "kernels/table.h"

namespace evenflow::baseline {
extern const Kernels<float> kernels_float = make_kernels<Vec<float>>("baseline");
extern const Kernels<double> kernels_double = make_kernels<Vec<double>>("baseline");
}  // namespace evenflow::baseline
