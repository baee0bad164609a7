// Activations with a parameter that is trained, one for each feature, of any sign. Curve is the activation for given
// parameters: value(x), and slopes(x), its derivatives in x and in the parameter. Errors are those of activation.h; of
// the derivative in the parameter 4 ULP (4.4 without a fused multiply-add).
#pragma once

#include "math/activations.h"

namespace evenflow {

template <class V>
struct Slopes {
  V in_x, in_parameter;
};

// y = x for x > 0, alpha * x else. He et al. 2015.
struct Prelu {
  static constexpr const char* name = "prelu";
  static constexpr Parameter parameter{"alpha", 0.0};

  template <class V>
  struct Curve {
    V alpha;

    HD explicit Curve(V a) : alpha(a) {}

    HD V value(V x) const { return select(x > V(0), x, alpha * x); }
    HD Slopes<V> slopes(V x) const { return {select(is_nan(x), x, select(x > V(0), V(1), alpha)), at_most(x, V(0))}; }
  };
};

// y = x * sigmoid(beta * x). Ramachandran et al. 2017. With z = sign(beta) x it is sign(beta) z * sigmoid(|beta| z).
struct LearnedSwish {
  static constexpr const char* name = "learned_swish";
  static constexpr Parameter parameter{"beta", 1.0};

  template <class V>
  struct Curve {
    V beta, sign, end, highest;  // |x| where y, or what lacks of x, rounds to zero; z where y is x

    HD explicit Curve(V b)
        : beta(abs(b)),
          sign(copysign(V(1), b)),
          end(at_most(constant<V>(170.0, 1400.0) / abs(b), V(Format<scalar_of<V>>::largest))),
          highest(at_most(logistic_highest<V>() / abs(b), V(Format<scalar_of<V>>::largest))) {}

    HD V value(V x) const {
      const V z = at_least(sign * x, -end);
      V tail;
      const V w = multiple(at_most(z, highest), tail);
      return sign * times_sigmoid(z, w, tail);
    }
    // With q = exp(-|w|), w = beta * x: in beta x^2 q / (1 + q)^2; in x (1 + q (1 + w)) / (1 + q)^2 for w >= 0, else
    // q (1 + q + w) / (1 + q)^2.
    HD Slopes<V> slopes(V x) const {
      const V z = at_most(at_least(sign * x, -end), end);
      V tail;
      const V w = multiple(z, tail);
      const auto negative = w < V(0);
      const Exponential<V> q(-abs(w), select(negative, tail, -tail));
      const V sum = V(1) + q.value, square = fma(q.value, q.value + V(2), V(1));
      const V ratio = select(negative, sum + w, fma(q.value, w, sum)) / square;
      return {select(negative, q.times(ratio), ratio), q.times(z * (z / square))};
    }

   private:
    // w + tail = beta * x
    HD V multiple(V x, V& tail) const {
      const V w = beta * x;
      tail = product_rest(beta, x, w);
      return w;
    }
  };
};

using LearnedActivations = List<Prelu, LearnedSwish>;

}  // namespace evenflow
