// Metrics of one element: value(p, t) of a prediction p and its target t. What becomes of a row's values is the
// caller's. Limits are Keras'.
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

// 1 where p is t
struct Equal {
  template <class V>
  HD V value(V p, V t) const {
    return select(p == t, V(1), V(0));
  }
};

struct AbsoluteError {
  template <class V>
  HD V value(V p, V t) const {
    return abs(p - t);
  }
};

// 100 |p - t| / |t|
struct AbsolutePercentageError {
  template <class V>
  HD V value(V p, V t) const {
    return V(100) * abs((t - p) / at_least(abs(t), V(1e-7)));
  }
};

// (log(1 + p) - log(1 + t))^2
struct SquaredLogarithmicError {
  template <class V>
  HD V value(V p, V t) const {
    const V difference = log1p(at_least(p, V(1e-7))) - log1p(at_least(t, V(1e-7)));
    return difference * difference;
  }
};

// log(cosh(p - t)) = |d| + log(1 + exp(-2 |d|)) - log 2
struct LogCosh {
  template <class V>
  HD V value(V p, V t) const {
    const V d = abs(p - t);
    return d + log1p_of_fraction(exp(V(-2) * d)) - V(0.69314718055994530942);
  }
};

// max(0, 1 - t p) for t of -1 and 1; 0 stands for -1, as in Keras.
struct Hinge {
  template <class V>
  HD V value(V p, V t) const {
    return at_least(V(1) - select(t == V(0), V(-1), t) * p, V(0));
  }
};

struct SquaredHinge {
  template <class V>
  HD V value(V p, V t) const {
    const V hinge = Hinge().value(p, t);
    return hinge * hinge;
  }
};

// p - t log(p)
struct PoissonDeviance {
  template <class V>
  HD V value(V p, V t) const {
    return p - t * log(p + V(1e-7));
  }
};

// t log(t / p); the sum over classes is the Kullback-Leibler divergence
struct RelativeEntropy {
  template <class V>
  HD V value(V p, V t) const {
    const V q = at_most(at_least(t, V(1e-7)), V(1));
    return q * log(q / at_most(at_least(p, V(1e-7)), V(1)));
  }
};

}  // namespace metric_kinds
}  // namespace evenflow
