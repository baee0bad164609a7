// Metrics of one element: value(p, t) of a prediction p and its target t. What becomes of a row's values is the
// caller's. Losses are metrics too, and have their formulas in losses.h.
#pragma once

#include "math/losses.h"

namespace evenflow {
namespace metric_kinds {

// 1 where p is above the threshold and t is 1, or neither
struct OnTheRightSide {
  double threshold;
  template <class V>
  HD V value(V p, V t) const {
    return select(select(p > V(static_cast<scalar_of<V>>(threshold)), V(1), V(0)) == t, V(1), V(0));
  }
};

// 1 where t is in an interval with its ends
struct Within {
  template <class V>
  HD V value(V lower, V upper, V t) const {
    return select(((lower < t) | (lower == t)) & ((t < upper) | (t == upper)), V(1), V(0));
  }
};

// m + deviations * exp(s / 2): a quantile of the normal distribution with mean m and logarithm of variance s
struct NormalQuantile {
  double deviations;
  template <class V>
  HD V value(V m, V s) const {
    return fma(V(deviations), exp(V(0.5) * s), m);
  }
};

// 1 where p is t
struct Equal {
  template <class V>
  HD V value(V p, V t) const {
    return select(p == t, V(1), V(0));
  }
};

}  // namespace metric_kinds
}  // namespace evenflow
