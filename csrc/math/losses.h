// Losses of one element: value(p, t) and slope(p, t), its derivative with respect to the prediction p; t is the target.
// Sums over units and means over rows are the caller's. Errors: 2.5 ULP, the slope from logits 2^-23 (float), 2^-52
// (double).
#pragma once

#include "math/functions.h"

namespace evenflow {

// (p - t)^2
struct SquaredError {
  template <class V>
  HD V value(V p, V t) const {
    const V difference = p - t;
    return difference * difference;
  }
  template <class V>
  HD V slope(V p, V t) const {
    const V difference = p - t;
    return difference + difference;
  }
};

// -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)) for a logit x, as |x| (1 - t or t) + log(1 + exp(-|x|)): no
// cancellation for t in [0, 1].
struct BinaryCrossentropyFromLogits {
  template <class V>
  HD V value(V x, V t) const {
    const V a = abs(x);
    return fma(a, select(x > V(0), V(1) - t, t), log1p_of_fraction(exp(-a)));
  }
  template <class V>
  HD V slope(V x, V t) const {
    return sigmoid(x) - t;
  }
};

// Probabilities are clipped to [1e-7, 1 - 1e-7], as in Keras; outside, the slope is zero.
template <class V>
HD V lowest_probability() {
  return V(1e-7);
}
template <class V>
HD V highest_probability() {
  return V(1) - V(1e-7);
}
template <class V>
HD V clip_probability(V p) {
  return at_most(at_least(p, lowest_probability<V>()), highest_probability<V>());
}
template <class V>
HD V zero_if_clipped(V p, V slope) {
  return select((p < lowest_probability<V>()) | (p > highest_probability<V>()), V(0), slope);
}

// -t log(p) - (1 - t) log(1 - p), for a probability p.
struct BinaryCrossentropy {
  template <class V>
  HD V value(V p, V t) const {
    const V q = clip_probability(p);
    return -fma(t, log(q), (V(1) - t) * log1p(-q));
  }
  template <class V>
  HD V slope(V p, V t) const {
    const V q = clip_probability(p);
    return zero_if_clipped(p, (q - t) / (q * (V(1) - q)));
  }
};

// -t log(p), for a probability p; the sum over classes whose probabilities sum to one is the categorical
// cross-entropy.
struct CategoricalCrossentropy {
  template <class V>
  HD V value(V p, V t) const {
    return -t * log(clip_probability(p));
  }
  template <class V>
  HD V slope(V p, V t) const {
    return zero_if_clipped(p, -t / clip_probability(p));
  }
};

}  // namespace evenflow
