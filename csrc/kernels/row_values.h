// Values of a whole row that losses (losses.h) and metrics (metrics.h) have in common: each formula once.
#pragma once

#include "kernels/rows.h"

namespace evenflow {

template <class V>
struct RowValues : RowKernels<V> {
  using Rows = RowKernels<V>;
  using T = typename Rows::T;
  using Rows::total;

  // The sum of an element's values over units.
  template <class Element>
  EVENFLOW_INLINE static T value_sum(const Element& element, const T* p, const T* t, int units) {
    return total(units, [&](int j) { return element.value(V::load(p + j), V::load(t + j)); });
  }

  // max((1 - t) p) - sum(t p) + 1, limited to 0 from below, and the unit of that maximum.
  struct Margin {
    T value;
    int worst;
  };
  EVENFLOW_INLINE static Margin categorical_hinge(const T* p, const T* t, int units) {
    const T own = total(units, [&](int j) { return V::load(t + j) * V::load(p + j); });
    const auto other = [&](int j) { return (T(1) - t[j]) * p[j]; };
    int worst = 0;
    for (int j = 1; j < units; ++j)
      if (other(j) > other(worst)) worst = j;
    return {at_least(other(worst) - own + T(1), T(0)), worst};
  }

  // sum(p t) / (|p| |t|), where a length below 1e-7 counts as that, and one over the lengths.
  struct Direction {
    T cosine, by_p, by_t;
    bool short_p;
  };
  EVENFLOW_INLINE static Direction cosine_similarity(const T* p, const T* t, int units) {
    constexpr T most = T(1e7);
    const auto product = [&](const T* a, const T* b) {
      return total(units, [&](int j) { return V::load(a + j) * V::load(b + j); });
    };
    const T inverse = T(1) / sqrt(product(p, p));
    const T by_p = at_most(inverse, most), by_t = at_most(T(1) / sqrt(product(t, t)), most);
    return {product(p, t) * by_p * by_t, by_p, by_t, inverse > most};
  }

  // The pinball loss summed over all outputs: block k of them, as wide as the targets, is for quantile k.
  EVENFLOW_INLINE static T pinball_sum(const QuantileLoss& loss, const T* p, const T* t, int columns) {
    T value = 0;
    for (int k = 0; k < loss.quantiles.count; ++k) {
      const T* own = p + k * columns;
      value += total(columns, [&](int j) {
        return loss.value(V::load(own + j, smaller(V::lanes, columns - j)), V::load(t + j), loss.quantiles.at[k]);
      });
    }
    return value;
  }
};

}  // namespace evenflow
