// Normalization by the statistics of features: what enters, and the way back.
#pragma once

#include "math/vocabulary.h"

namespace evenflow {

// 1 / sqrt(variance + epsilon)
template <class V>
HD V inverse_deviation(V variance, double epsilon) {
  return V(1) / sqrt(variance + V(epsilon));
}
// sqrt(variance), at least `smallest`
template <class V>
HD V bounded_deviation(V variance, double smallest) {
  return max(sqrt(variance), V(smallest));
}
// moving * momentum + batch * share
template <class V>
HD V moving_average(V moving, V batch, double momentum, double share) {
  return fma(moving, V(momentum), batch * V(share));
}
// (x - mean) * scale + shift
template <class V>
HD V normalized(V x, V mean, V scale, V shift) {
  return fma(x - mean, scale, shift);
}
// From the gradient dz of x * scale + shift to that of what x = (value - mean) * inverse was made from, the batch's
// mean and variance included: scale * (dz - mean(dz) - x * mean(dz * x)).
template <class V>
HD V gradient_through_moments(V dz, V x, V scale, V mean_dz, V mean_dz_x) {
  return scale * fma(-x, mean_dz_x, dz - mean_dz);
}

}  // namespace evenflow
