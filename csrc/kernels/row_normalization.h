// Layer and root-mean-square normalization: row operations in the middle of a network, without gamma and beta.
#pragma once

#include "kernels/rows.h"

namespace evenflow {

template <class V>
struct RowNormalization {
  using T = scalar_of<V>;
  using Rows = RowKernels<V>;

  template <class Term>
  EVENFLOW_INLINE static V mean(int units, Term term) {
    return V(Rows::total(units, term) / static_cast<T>(units));
  }

  EVENFLOW_INLINE static void forward(T* y, T* inverse, const T* x, std::ptrdiff_t stride, int units, double epsilon,
                                      bool centered, T* scratch, int first, int last) {
    for (int row = first; row < last; ++row) {
      Rows::gather(scratch, x, stride, row, units);
      const V m = centered ? mean(units, [&](int j) { return V::load(scratch + j); }) : V(0);
      const V variance = mean(units, [&](int j) {
        const V difference = V::load(scratch + j) - m;
        return difference * difference;
      });
      const V r = V(1) / sqrt(variance + V(epsilon));
      r.store(inverse + row, 1);
      Rows::each(units, [&](int j, int valid) {
        const V normalized = select(V::first(valid), (V::load(scratch + j) - m) * r, V(0));
        normalized.store(y + Rows::place(j, stride, row, units));
      });
    }
  }

  EVENFLOW_INLINE static void backward(T* dx, const T* dy, const T* y, const T* inverse, std::ptrdiff_t stride,
                                       int units, bool centered, T* scratch, int first, int last) {
    T* normalized = scratch + Rows::layout().padded(units);
    for (int row = first; row < last; ++row) {
      Rows::gather(scratch, dy, stride, row, units);
      Rows::gather(normalized, y, stride, row, units);
      const V shift_part = centered ? mean(units, [&](int j) { return V::load(scratch + j); }) : V(0);
      const V scale_part = mean(units, [&](int j) { return V::load(scratch + j) * V::load(normalized + j); });
      const V r(inverse[row]);
      Rows::each(units, [&](int j, int valid) {
        const V slope = r * fma(-V::load(normalized + j), scale_part, V::load(scratch + j) - shift_part);
        select(V::first(valid), slope, V(0)).store(dx + Rows::place(j, stride, row, units));
      });
    }
  }
};

}  // namespace evenflow
