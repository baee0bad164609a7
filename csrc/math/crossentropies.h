// Cross-entropies and focal cross-entropies. Those that absorb the last activation have a form for logits too.
#pragma once

#include "math/loss.h"

namespace evenflow {

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

// -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)) for a logit x, as |x| (1 - t or t) + log(1 + exp(-|x|)): no
// cancellation for t in [0, 1].
struct BinaryCrossentropyFromLogits : LossDefaults {
  double label_smoothing = 0;
  template <class V>
  HD V value(V x, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), a = abs(x);
    return fma(a, select(x > V(0), V(1) - t, t), log1p_of_fraction(exp(-a)));
  }
  template <class V>
  HD V slope(V x, V target) const {
    return sigmoid(x) - smoothed(target, label_smoothing, 0.5);
  }
};

// -t log(p) - (1 - t) log(1 - p), for a probability p.
struct BinaryCrossentropy : LossDefaults {
  static constexpr const char* name = "binary_crossentropy";
  static constexpr Output absorbs = Output::sigmoid;
  double label_smoothing = 0;
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("label_smoothing", self.label_smoothing, fraction);
  }
  HD BinaryCrossentropyFromLogits of_logits() const { return {{}, label_smoothing}; }
  template <class V>
  HD V value(V p, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), q = clip_probability(p);
    return -fma(t, log(q), (V(1) - t) * log1p(-q));
  }
  template <class V>
  HD V slope(V p, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), q = clip_probability(p);
    return zero_if_clipped(p, (q - t) / (q * (V(1) - q)));
  }
};

// -t log(p), for a probability p; the sum over classes whose probabilities sum to one is the categorical
// cross-entropy.
struct CategoricalCrossentropy : LossDefaults {
  static constexpr const char* name = "categorical_crossentropy";
  static constexpr Output absorbs = Output::softmax;
  static constexpr bool mean = false;
  double label_smoothing = 0;  // applied to the row
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("label_smoothing", self.label_smoothing, fraction);
  }
  template <class V>
  HD V value(V p, V t) const {
    return -t * log(clip_probability(p));
  }
  template <class V>
  HD V slope(V p, V t) const {
    return zero_if_clipped(p, -t / clip_probability(p));
  }
};

// -log softmax(x) of a logit x, where log_sum is the logarithm of the row's sum of exp(x - highest).
template <class V, class T>
HD V surprise(V x, T highest, T log_sum) {
  return V(log_sum) - (x - V(highest));
}
// The categorical cross-entropy of a logit.
template <class T>
struct CategoricalCrossentropyFromLogits {
  T highest, log_sum;
  template <class V>
  HD V value(V x, V t) const {
    return t * surprise(x, highest, log_sum);
  }
};

// The same of the one-hot row of a label.
struct SparseCategoricalCrossentropy : LossDefaults {
  static constexpr const char* name = "sparse_categorical_crossentropy";
  static constexpr Output absorbs = Output::softmax;
  static constexpr bool labels = true;
  double label_smoothing = 0;
  std::int64_t ignore_class = no_class;
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("label_smoothing", self.label_smoothing, fraction);
    visit("ignore_class", self.ignore_class);
  }
};

// ---- focal cross-entropies (Lin et al. 2017): rows that are already right count little

// The binary cross-entropy times (1 - p_t)^gamma, p_t = t p + (1 - t)(1 - p), and with balancing times
// t alpha + (1 - t)(1 - alpha).
struct BinaryFocalCrossentropy : LossDefaults {
  static constexpr const char* name = "binary_focal_crossentropy";
  static constexpr Output absorbs = Output::sigmoid;
  bool apply_class_balancing = false;
  double alpha = 0.25, gamma = 2, label_smoothing = 0;
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("apply_class_balancing", self.apply_class_balancing);
    visit("alpha", self.alpha, fraction);
    visit("gamma", self.gamma, nonnegative);
    visit("label_smoothing", self.label_smoothing, fraction);
  }
  template <class V>
  HD V weight(V t) const {
    return apply_class_balancing ? fma(t, V(2 * alpha - 1), V(1 - alpha)) : V(1);
  }
  // The slope where the cross-entropy has value and slope, and u = 1 - p_t the derivative du.
  template <class V>
  HD V product_slope(V t, V value, V slope, V u, V du) const {
    return weight(t) * (power(u, gamma) * slope + power_slope(u, gamma) * du * value);
  }
  template <class V>
  HD V value(V p, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), u = fma(t, V(1) - p, (V(1) - t) * p);
    return weight(t) * power(u, gamma) * BinaryCrossentropy().value(p, t);
  }
  template <class V>
  HD V slope(V p, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), u = fma(t, V(1) - p, (V(1) - t) * p);
    const BinaryCrossentropy plain;
    return product_slope(t, plain.value(p, t), plain.slope(p, t), u, fma(V(-2), t, V(1)));
  }
  struct FromLogits;
  HD FromLogits of_logits() const;
};

struct BinaryFocalCrossentropy::FromLogits : BinaryFocalCrossentropy {
  template <class V>
  HD V value(V x, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), u = fma(t, sigmoid(-x), (V(1) - t) * sigmoid(x));
    return weight(t) * power(u, gamma) * BinaryCrossentropyFromLogits().value(x, t);
  }
  template <class V>
  HD V slope(V x, V target) const {
    const V t = smoothed(target, label_smoothing, 0.5), p = sigmoid(x), rest = sigmoid(-x);
    const BinaryCrossentropyFromLogits plain;
    return product_slope(t, plain.value(x, t), plain.slope(x, t), fma(t, rest, (V(1) - t) * p),
                         fma(V(-2), t, V(1)) * (p * rest));
  }
};
HD BinaryFocalCrossentropy::FromLogits BinaryFocalCrossentropy::of_logits() const { return {*this}; }

// alpha (1 - p)^gamma (-t log p), for a probability p; summed over classes whose probabilities sum to one.
struct CategoricalFocalCrossentropy : LossDefaults {
  static constexpr const char* name = "categorical_focal_crossentropy";
  static constexpr Output absorbs = Output::softmax;
  static constexpr bool mean = false;
  double alpha = 0.25, gamma = 2, label_smoothing = 0;  // smoothing is applied to the row
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("alpha", self.alpha, nonnegative);
    visit("gamma", self.gamma, nonnegative);
    visit("label_smoothing", self.label_smoothing, fraction);
  }
  template <class V>
  HD V value(V p, V t) const {
    const V q = clip_probability(p);
    return of_logarithm(q, log(q), t);
  }
  template <class V>
  HD V slope(V p, V t) const {
    const V q = clip_probability(p);
    return zero_if_clipped(p, slope_times_p(q, log(q), t) / q);
  }
  template <class V>
  HD V of_logarithm(V p, V log_p, V t) const {
    return V(-alpha) * power(V(1) - p, gamma) * (t * log_p);
  }
  template <class V>
  HD V slope_times_p(V p, V log_p, V t) const {
    const V rest = V(1) - p;
    return V(alpha) * t * (power_slope(rest, gamma) * (p * log_p) - power(rest, gamma));
  }
};

}  // namespace evenflow
