// Compiles the formulas of csrc/math for device and host: nvcc -std=c++17 -Icsrc -c tests/math_under_nvcc.cu
#include "math/activations.h"
#include "math/functions.h"
#include "math/losses.h"
#include "math/metrics.h"
#include "math/penalties.h"
#include "math/random.h"
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

template <class V>
__global__ void random_numbers(std::uint64_t* c, V* normal) {
  std::uint64_t words[4] = {c[0], c[1], c[2], c[3]};
  philox4x32(words, c[4]);
  const auto s = static_cast<std::int32_t>(words[threadIdx.x]);
  normal[threadIdx.x] = normal_of_word(V(s), V(word_tail(s)));
}
template __global__ void random_numbers(std::uint64_t*, float*);
template __global__ void random_numbers(std::uint64_t*, double*);

template <class Activation, class V>
__global__ void activation(Activation f, const V* x, V* y, V* slope) {
  const V v = x[threadIdx.x];
  y[threadIdx.x] = f.value(v);
  slope[threadIdx.x] = f.slope(v, y[threadIdx.x]);
}

template <class Loss, class V>
__global__ void loss(Loss f, const V* p, const V* t, V* value, V* slope) {
  value[threadIdx.x] += f.value(p[threadIdx.x], t[threadIdx.x]);
  slope[threadIdx.x] += f.slope(p[threadIdx.x], t[threadIdx.x]);
}

template <class V>
__global__ void metrics(const V* p, const V* t, V* value) {
  const auto add = [&](auto metric) { value[threadIdx.x] += metric.value(p[threadIdx.x], t[threadIdx.x]); };
  add(metric_kinds::OnTheRightSide{0.5});
  add(metric_kinds::Equal{});
}
template __global__ void metrics(const float*, const float*, float*);
template __global__ void metrics(const double*, const double*, double*);

template <class Rule, class V>
__global__ void update(Rule rule, V* p, const V* g, V* a, V* b, V* c) {
  const int i = threadIdx.x;
  if constexpr (Rule::slots == 0) rule(p[i], g[i]);
  if constexpr (Rule::slots == 1) rule(p[i], g[i], a[i]);
  if constexpr (Rule::slots == 2) rule(p[i], g[i], a[i], b[i]);
  if constexpr (Rule::slots == 3) rule(p[i], g[i], a[i], b[i], c[i]);
}

template <class V>
__global__ void penalties(Penalty penalty, NormLimits limits, const V* p, V* g) {
  const int i = threadIdx.x;
  g[i] = penalty.template slope_added<true, true>(g[i], p[i]) * limits.scale(p[i]);
}
template __global__ void penalties(Penalty, NormLimits, const float*, float*);
template __global__ void penalties(Penalty, NormLimits, const double*, double*);

// Taking a kernel's address compiles it.
template <class... Types>
int activations(List<Types...>) {
  const bool compiled[] = {(&activation<Types, float> != nullptr && &activation<Types, double> != nullptr)...};
  return sizeof compiled;
}
int all_activations() { return activations(Activations{}); }
template <class... Types>
int updates(List<Types...>) {
  const bool compiled[] = {(&update<Types, float> != nullptr && &update<Types, double> != nullptr)...};
  return sizeof compiled;
}
template <class... Types>
int losses(List<Types...>) {
  const bool compiled[] = {(&loss<Types, float> != nullptr && &loss<Types, double> != nullptr)...};
  return sizeof compiled;
}
int all_losses() {  // of single elements
  return losses(List<SquaredError, AbsoluteError, AbsolutePercentageError, SquaredLogarithmicError, Huber, LogCosh,
                     PoissonLoss, Hinge, SquaredHinge, KullbackLeiblerDivergence, BinaryCrossentropy,
                     BinaryCrossentropyFromLogits, CategoricalCrossentropy, BinaryFocalCrossentropy,
                     BinaryFocalCrossentropy::FromLogits, CategoricalFocalCrossentropy>{});
}
int all_updates() { return updates(Rules{}); }

}  // namespace evenflow
