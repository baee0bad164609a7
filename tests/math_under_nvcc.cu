// Compiles the formulas of csrc/math for device and host: nvcc -std=c++17 -Icsrc -c tests/math_under_nvcc.cu
#include "math/activations.h"
#include "math/functions.h"
#include "math/losses.h"
#include "math/updates.h"

namespace evenflow {

template <class V>
__global__ void functions(const V* x, V* y) {
  const V v = x[threadIdx.x];
  const V sum = exp(v) + expm1(v) + tanh(v) + log(v) + log1p(v) + softplus(v) + sigmoid(v) + normal_cdf(v) + erf(v);
  y[threadIdx.x] = select(is_nan(sum), v, sum) + max(v, min(v, sum)) + ratio_to_root(v, v, v);
}
template __global__ void functions(const float*, float*);
template __global__ void functions(const double*, double*);

template <class Activation, class V>
__global__ void activation(Activation f, const V* x, V* y, V* slope) {
  const V v = x[threadIdx.x];
  y[threadIdx.x] = f.value(v);
  slope[threadIdx.x] = f.slope(v, y[threadIdx.x]);
}

template <class V>
__global__ void losses(const V* p, const V* t, V* value, V* slope) {
  const auto add = [&](auto loss) {
    value[threadIdx.x] += loss.value(p[threadIdx.x], t[threadIdx.x]);
    slope[threadIdx.x] += loss.slope(p[threadIdx.x], t[threadIdx.x]);
  };
  add(SquaredError{});
  add(BinaryCrossentropyFromLogits{});
  add(BinaryCrossentropy{});
  add(CategoricalCrossentropy{});
}
template __global__ void losses(const float*, const float*, float*, float*);
template __global__ void losses(const double*, const double*, double*, double*);

template <class V>
__global__ void updates(Sgd sgd, Momentum momentum, Nesterov nesterov, Adam adam, V* p, const V* g, V* m, V* v) {
  const int i = threadIdx.x;
  sgd(p[i], g[i]);
  momentum(p[i], g[i], m[i]);
  nesterov(p[i], g[i], m[i]);
  adam(p[i], g[i], m[i], v[i]);
}
template __global__ void updates(Sgd, Momentum, Nesterov, Adam, float*, const float*, float*, float*);
template __global__ void updates(Sgd, Momentum, Nesterov, Adam, double*, const double*, double*, double*);

// Taking a kernel's address compiles it.
template <class... Types>
int activations(List<Types...>) {
  const bool compiled[] = {(&activation<Types, float> != nullptr && &activation<Types, double> != nullptr)...};
  return sizeof compiled;
}
int all_activations() { return activations(Activations{}); }

}  // namespace evenflow
