// The other losses, and the list of all. Errors: 2.5 ULP where nothing else is said; the slope of cross-entropies from
// logits 2^-23 (float), 2^-52 (double).
#pragma once

#include "math/crossentropies.h"

namespace evenflow {

// ---- regression

// (p - t)^2
struct SquaredError : LossDefaults {
  static constexpr const char* name = "mean_squared_error";
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

// |p - t|; the slope where they are equal is 0.
struct AbsoluteError : LossDefaults {
  static constexpr const char* name = "mean_absolute_error";
  template <class V>
  HD V value(V p, V t) const {
    return abs(p - t);
  }
  template <class V>
  HD V slope(V p, V t) const {
    return sign(p - t);
  }
};

// 100 |p - t| / max(|t|, epsilon)
struct AbsolutePercentageError : LossDefaults {
  static constexpr const char* name = "mean_absolute_percentage_error";
  template <class V>
  HD V value(V p, V t) const {
    return V(100) * (abs(p - t) / at_least(abs(t), loss_epsilon<V>()));
  }
  template <class V>
  HD V slope(V p, V t) const {
    return sign(p - t) * (V(100) / at_least(abs(t), loss_epsilon<V>()));
  }
};

// (log(1 + max(p, epsilon)) - log(1 + max(t, epsilon)))^2
struct SquaredLogarithmicError : LossDefaults {
  static constexpr const char* name = "mean_squared_logarithmic_error";
  template <class V>
  HD static V difference(V p, V t) {
    return log1p(at_least(p, loss_epsilon<V>())) - log1p(at_least(t, loss_epsilon<V>()));
  }
  template <class V>
  HD V value(V p, V t) const {
    const V d = difference(p, t);
    return d * d;
  }
  template <class V>
  HD V slope(V p, V t) const {
    const V d = difference(p, t);
    return select(p < loss_epsilon<V>(), V(0), (d + d) / (V(1) + p));
  }
};

// d^2 / 2 for |d| <= delta, else delta |d| - delta^2 / 2, with d = p - t
struct Huber : LossDefaults {
  static constexpr const char* name = "huber";
  double delta = 1;
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("delta", self.delta, denominator);
  }
  template <class V>
  HD V value(V p, V t) const {
    const V a = abs(p - t), limit(delta);
    return select(a > limit, limit * (a - V(0.5) * limit), V(0.5) * (a * a));
  }
  template <class V>
  HD V slope(V p, V t) const {
    return at_most(at_least(p - t, V(-delta)), V(delta));
  }
};

// log(cosh(d)), d = p - t: below 1 as log(1 + (cosh(d) - 1)), beyond as |d| - log(2) + log(1 + exp(-2|d|)).
struct LogCosh : LossDefaults {
  static constexpr const char* name = "log_cosh";
  template <class V>
  HD V value(V p, V t) const {
    const V a = abs(p - t);
    const V m = expm1_of_nonpositive(-a);
    const V near = log1p(V(0.5) * (m * m / (V(1) + m)));
    const V far = (a - V(0.69314718055994530942)) + log1p_of_fraction(exp(V(-2) * a));
    return select(a < V(1), near, far);
  }
  template <class V>
  HD V slope(V p, V t) const {
    return tanh(p - t);
  }
};

// p - t log(p + epsilon): of a count t whose expectation is p.
struct PoissonLoss : LossDefaults {
  static constexpr const char* name = "poisson";
  template <class V>
  HD V value(V p, V t) const {
    return p - t * log(p + loss_epsilon<V>());
  }
  template <class V>
  HD V slope(V p, V t) const {
    return V(1) - t / (p + loss_epsilon<V>());
  }
};

// max(q d, (q - 1) d), d = t - p, for each quantile q: block k of the outputs, as many as there are targets, is for
// quantile k.
struct QuantileLoss : LossDefaults {
  static constexpr const char* name = "quantile";
  static constexpr int most = 64;
  struct Levels {
    double at[most] = {0.5};
    int count = 1;
  } quantiles;
  int outputs_per_target() const { return quantiles.count; }
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("quantiles", self.quantiles, open_share);
  }
  template <class V>
  HD V value(V p, V t, double quantile) const {
    const V d = t - p;
    return max(V(quantile) * d, V(quantile - 1) * d);
  }
  template <class V>
  HD V slope(V p, V t, double quantile) const {
    const V d = t - p;
    return select(d > V(0), V(-quantile), select(d < V(0), V(1 - quantile), d));
  }
};

// (log v + (m - t)^2 / v) / 2 with v = max(exp(s), epsilon), for the first half m of the outputs, means, and the second
// s, logarithms of variances: any s is meant, nothing is divided by. Below the limit the slope in s is that at the
// limit, so that it finds back.
struct GaussianNegativeLogLikelihood : LossDefaults {
  static constexpr const char* name = "gaussian_nll";
  bool full = false;  // with the constant, log(2 pi) / 2
  double epsilon = 1e-6;
  int outputs_per_target() const { return 2; }
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("full", self.full);
    visit("epsilon", self.epsilon, denominator);
  }
  template <class V>
  HD V limited(V s) const {
    return at_least(s, V(std::log(epsilon)));
  }
  template <class V>
  HD V value(V m, V s, V t) const {
    const V v = limited(s), d = m - t;
    return V(0.5) * (v + d * d * exp(-v)) + V(full ? 0.91893853320467274178 : 0);
  }
  template <class V>
  HD void slopes(V m, V s, V t, V& dm, V& ds) const {
    const V inverse = exp(-limited(s)), d = m - t;
    dm = d * inverse;
    ds = V(0.5) * (V(1) - d * dm);
  }
};

// ---- hinges: targets are -1 and 1, or 0 and 1

template <class V>
HD V side(V t) {
  return select(t == V(0), V(-1), t);
}

// max(1 - t p, 0)
struct Hinge : LossDefaults {
  static constexpr const char* name = "hinge";
  template <class V>
  HD V value(V p, V t) const {
    return at_least(V(1) - side(t) * p, V(0));
  }
  template <class V>
  HD V slope(V p, V t) const {
    return select(side(t) * p < V(1), -side(t), V(0));
  }
};

// max(1 - t p, 0)^2
struct SquaredHinge : LossDefaults {
  static constexpr const char* name = "squared_hinge";
  template <class V>
  HD V value(V p, V t) const {
    const V distance = Hinge().value(p, t);
    return distance * distance;
  }
  template <class V>
  HD V slope(V p, V t) const {
    return V(-2) * (side(t) * Hinge().value(p, t));
  }
};

// max(max((1 - t) p) - sum(t p) + 1, 0) of a row
struct CategoricalHinge : LossDefaults {
  static constexpr const char* name = "categorical_hinge";
};

// ---- distributions and directions

// t log(t / p), both within [epsilon, 1]; summed over the units.
struct KullbackLeiblerDivergence : LossDefaults {
  static constexpr const char* name = "kl_divergence";
  static constexpr bool mean = false;
  template <class V>
  HD static V limited(V p) {
    return at_most(at_least(p, loss_epsilon<V>()), V(1));
  }
  template <class V>
  HD V value(V p, V t) const {
    return limited(t) * log(limited(t) / limited(p));
  }
  template <class V>
  HD V slope(V p, V t) const {
    return select((p < loss_epsilon<V>()) | (p > V(1)), V(0), -limited(t) / limited(p));
  }
};

// -sum(t p) / (|t| |p|) of a row
struct CosineSimilarity : LossDefaults {
  static constexpr const char* name = "cosine_similarity";
};

// The only registry: what a spec may name, and the tables of kernels, are folds over it.
using Losses = List<SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, SquaredError,
                    AbsoluteError, AbsolutePercentageError, SquaredLogarithmicError, Huber, LogCosh, PoissonLoss,
                    QuantileLoss, GaussianNegativeLogLikelihood, Hinge, SquaredHinge, CategoricalHinge,
                    KullbackLeiblerDivergence, CosineSimilarity, BinaryFocalCrossentropy, CategoricalFocalCrossentropy>;

}  // namespace evenflow
