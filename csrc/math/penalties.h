// Penalties on the size of values, and limits of norms: what regularizers and constraints compute.
#pragma once

#include "math/vocabulary.h"

namespace evenflow {

// l1 * sum |p| + l2 * sum p^2, and its gradient l1 * sign(p) + 2 * l2 * p.
struct Penalty {
  double l1 = 0, l2 = 0;

  EVENFLOW_INLINE bool active() const { return l1 != 0 || l2 != 0; }
  EVENFLOW_INLINE Penalty over(double count) const { return {l1 / count, l2 / count}; }

  template <bool with_l1, bool with_l2, class V>
  HD V slope_added(V g, V p) const {
    if constexpr (with_l2) g = fma(V(2 * l2), p, g);
    if constexpr (with_l1) g = fma(V(l1), sign(p), g);
    return g;
  }
};

// A norm inside [lowest, highest] stays what it is. Outside, the vector is scaled by
// (rate * the nearest limit + (1 - rate) * norm) / (norm + 1e-7): Keras' factor, which leaves a zero vector alone.
struct NormLimits {
  double lowest = 0, highest = 0, rate = 1;

  template <class V>
  HD V scale(V norm) const {
    const V limited = at_most(at_least(norm, V(lowest)), V(highest));
    const V desired = fma(V(rate), limited, V(1 - rate) * norm);
    return select((norm >= V(lowest)) & (norm <= V(highest)), V(1), desired / (norm + V(1e-7)));
  }
};

// What brings a norm down to a limit.
HD double shrink(double norm, double limit) { return norm <= limit ? 1 : limit / norm; }

}  // namespace evenflow
