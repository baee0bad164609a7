// What every loss has. A loss is a struct of hyper-parameters, whose each(visit) calls visit(name, member, range) for
// all of them; those that take each output by itself have value(p, t) and slope(p, t), its derivative with respect to
// the prediction p, t the target. Sums over units and means over rows are the caller's (kernels/losses.h).
#pragma once

#include "math/functions.h"
#include "math/range.h"

namespace evenflow {

// What the loss itself applies to the last stage: what is computed from logits needs no clipping.
enum class Output { plain, sigmoid, softmax, log_softmax, sparsemax };
constexpr const char* output_names[] = {"linear", "sigmoid", "softmax", "log_softmax", "sparsemax"};
constexpr bool of_rows(Output output) { return output > Output::sigmoid; }  // not element by element

constexpr std::int64_t no_class = std::numeric_limits<std::int64_t>::min();

struct LossDefaults {
  static constexpr Output absorbs = Output::plain;
  static constexpr bool labels = false;                   // targets are class numbers
  static constexpr bool mean = true;                      // over a row's units, else their sum
  static constexpr std::int64_t ignore_class = no_class;  // the label of rows that do not count
  int outputs_per_target() const { return 1; }
  template <class Self, class Visit>
  static void each(Self&, const Visit&) {}
};

// Keras' epsilon: a lower limit of what is divided by or has its logarithm taken.
template <class V>
HD V loss_epsilon() {
  return V(1e-7);
}
// t drawn towards `even` by the share `smoothing`; t itself, bit for bit, for 0.
template <class V>
HD V smoothed(V t, double smoothing, double even) {
  return fma(t, V(1 - smoothing), V(smoothing * even));
}
// x^n for x >= 0; a small whole n without a logarithm.
template <class V>
HD V power(V x, double n) {
  if (n == 0) return V(1);
  if (n == 1) return x;
  if (n == 2) return x * x;
  return exp(V(n) * log(x));
}
// n x^(n - 1), finite at 0 so that it may be multiplied by one.
template <class V>
HD V power_slope(V x, double n) {
  if (n == 0) return V(0);
  return V(n) * power(at_least(x, V(Format<scalar_of<V>>::smallest_normal)), n - 1);
}

}  // namespace evenflow
