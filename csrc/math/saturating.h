// Activations that tend to a constant on either side as a quotient does, slowly. Errors: see activation.h.
#pragma once

#include "math/activation.h"

namespace evenflow {

// y = x / (1 + |x|). Turian et al. 2009. Slope's error: 2 eps.
struct Softsign : WithoutParameters {
  static constexpr const char* name = "softsign";
  static constexpr bool needs_input = false;

  HD explicit Softsign(const double*) {}

  template <class V>
  HD V value(V x) const {
    constexpr auto largest = Format<scalar_of<V>>::largest;
    const V z = at_most(at_least(x, V(-largest)), V(largest));
    return z / (V(1) + abs(z));
  }
  template <class V>
  HD V slope(V, V y) const {
    const V rest = V(1) - abs(y);
    return rest * rest;
  }
};

// y = x / sqrt(1 + alpha x^2), which tends to 1 / sqrt(alpha); alpha = 0 means its limit, x. Carlile et al. 2017.
// Slope's error: 8 ULP.
struct Isru {
  static constexpr const char* name = "isru";
  static constexpr bool needs_input = true;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"alpha", 1.0}};

  double alpha, end;  // beyond end, 1 + alpha x^2 is alpha x^2 and y its limit

  HD explicit Isru(const double* p)
      : alpha(p[0] < 1e-30  ? 1e-30
              : p[0] > 1e30 ? 1e30
                            : p[0]),
        end(1e10 / std::sqrt(alpha)) {}

  template <class V>
  HD V value(V x) const {
    const V z = within(x);
    return z / sqrt(square(z));
  }
  template <class V>
  HD V slope(V x, V) const {
    const V s = square(within(x));
    return V(1) / (s * sqrt(s));
  }

 private:
  template <class V>
  HD V within(V x) const {
    return at_most(at_least(x, V(-end)), V(end));
  }
  template <class V>
  HD V square(V z) const {
    return fma(V(alpha) * z, z, V(1));
  }
};

}  // namespace evenflow
