// Loops of regularizers and constraints, over flat memory or over the columns of one panel of a kernel.
#pragma once

#include "kernels/columns.h"
#include "kernels/rows.h"
#include "kernels/update.h"

namespace evenflow {

template <class V>
struct PenaltyKernels {
  using T = scalar_of<V>;

  // Sums in double from block to block, as in FlatKernels::square_sum.
  template <bool with_l1, bool with_l2, bool with_gradient>
  static double penalize(T* g, const T* p, std::ptrdiff_t n, const Penalty& penalty) {
    double magnitudes = 0, squares = 0;
    constexpr std::ptrdiff_t block = 64 * V::lanes;
    for (std::ptrdiff_t first = 0; first < n; first += block) {
      const std::ptrdiff_t last = smaller(n, first + block);
      V magnitude[4] = {V(0), V(0), V(0), V(0)}, square[4] = {V(0), V(0), V(0), V(0)};
      const auto add = [&](int c, V x) {
        if constexpr (with_l1) magnitude[c] += abs(x);
        if constexpr (with_l2) square[c] = fma(x, x, square[c]);
      };
      std::ptrdiff_t i = first;
      for (; i + 4 * V::lanes <= last; i += 4 * V::lanes)
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          const std::ptrdiff_t at = i + c * V::lanes;
          const V x = V::load(p + at);
          add(c, x);
          if constexpr (with_gradient) penalty.slope_added<with_l1, with_l2>(V::load(g + at), x).store(g + at);
        }
      for (; i < last; i += V::lanes) {
        const int rest = static_cast<int>(smaller<std::ptrdiff_t>(V::lanes, last - i));
        const V x = V::load(p + i, rest);
        add(0, x);
        if constexpr (with_gradient) penalty.slope_added<with_l1, with_l2>(V::load(g + i, rest), x).store(g + i, rest);
      }
      const auto total = [](const V* sums) {
        return static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
      };
      if constexpr (with_l1) magnitudes += total(magnitude);
      if constexpr (with_l2) squares += total(square);
    }
    return penalty.l1 * magnitudes + penalty.l2 * squares;
  }

  template <bool with_gradient>
  static double penalize(T* g, const T* p, std::ptrdiff_t n, const Penalty& penalty) {
    if (penalty.l1 == 0) return penalize<false, true, with_gradient>(g, p, n, penalty);
    if (penalty.l2 == 0) return penalize<true, false, with_gradient>(g, p, n, penalty);
    return penalize<true, true, with_gradient>(g, p, n, penalty);
  }
  static double penalize(T* g, const T* p, std::ptrdiff_t n, const Penalty& penalty) {
    return g == nullptr ? penalize<false>(g, p, n, penalty) : penalize<true>(g, p, n, penalty);
  }

  static constexpr double longest_inverse = 1e7;  // as in Keras

  static void unit_columns(T* u, T* inverse, int rows, int width) {
    each_vector<V>(width, [&](int j) {
      const auto at = [&](int row) { return u + static_cast<std::ptrdiff_t>(row) * width + j; };
      const V squares = ColumnKernels<V>::sum_rows(rows, [&](int row) {
        const V x = V::load(at(row));
        return x * x;
      });
      const V r = at_most(V(1) / sqrt(squares), V(longest_inverse));
      r.store(inverse + j);
      for (int row = 0; row < rows; ++row) (V::load(at(row)) * r).store(at(row));
    });
  }
  static double pair_signs(T* g, int first, int rows, int width) {
    for (int j = 0; j < width && first + j < rows; ++j) g[static_cast<std::ptrdiff_t>(first + j) * width + j] = 0;
    double total = 0;
    each_vector<V>(width, [&](int j) {
      const auto at = [&](int row) { return g + static_cast<std::ptrdiff_t>(row) * width + j; };
      total +=
          static_cast<double>(sum(ColumnKernels<V>::sum_rows(rows, [&](int row) { return abs(V::load(at(row))); })));
      for (int row = 0; row < rows; ++row) sign(V::load(at(row))).store(at(row));
    });
    return total;
  }
  static void through_unit_columns(T* d, const T* u, const T* inverse, int rows, int width, double share) {
    each_vector<V>(width, [&](int j) {
      const auto at = [&](int row) { return static_cast<std::ptrdiff_t>(row) * width + j; };
      const V along =
          ColumnKernels<V>::sum_rows(rows, [&](int row) { return V::load(u + at(row)) * V::load(d + at(row)); });
      const V r = V::load(inverse + j), factor = V(share) * r;
      const V shrinks = select(r < V(longest_inverse), along, V(0));  // else the length is a constant
      for (int row = 0; row < rows; ++row)
        (factor * fma(-V::load(u + at(row)), shrinks, V::load(d + at(row)))).store(d + at(row));
    });
  }

  template <class Value>
  EVENFLOW_INLINE static void each_value(T* p, std::ptrdiff_t n, Value value) {
    std::ptrdiff_t i = 0;
    for (; i + V::lanes <= n; i += V::lanes) value(V::load(p + i)).store(p + i);
    const int rest = static_cast<int>(n - i);
    if (rest != 0) value(V::load(p + i, rest)).store(p + i, rest);
  }
  static void soft_threshold(T* p, std::ptrdiff_t n, double threshold) {
    const SoftShrink shrink(&threshold);
    each_value(p, n, [&](V x) { return shrink.value(x); });
  }
  static void keep_nonnegative(T* p, std::ptrdiff_t n) {
    each_value(p, n, [](V x) { return at_least(x, V(0)); });
  }

  // Of a panel, or of a table, whose columns need not fill vectors.
  static void limit_norms(T* w, int inputs, int width, const NormLimits& limits) {
    for (int first = 0; first < width; first += V::lanes) {
      const int valid = smaller(V::lanes, width - first);
      const auto at = [&](int row) { return w + static_cast<std::ptrdiff_t>(row) * width + first; };
      const V squares = ColumnKernels<V>::sum_rows(inputs, [&](int row) {
        const V x = V::load(at(row), valid);
        return x * x;
      });
      const V scale = limits.scale(sqrt(squares));
      T each[V::lanes];
      scale.store(each);
      bool any = false;
      for (int j = 0; j < valid; ++j) any |= each[j] != T(1);
      if (!any) continue;
      for (int row = 0; row < inputs; ++row) (V::load(at(row), valid) * scale).store(at(row), valid);
    }
  }
  static void limit_norm(T* p, std::ptrdiff_t n, const NormLimits& limits) {
    Clip clip;
    clip.scale = limits.scale(sqrt(FlatKernels<V>::square_sum(p, n)));
    if (clip.scale != 1) FlatKernels<V>::clip(p, n, clip);
  }
  static void limit_row_norms(T* w, std::ptrdiff_t stride, int units, const NormLimits& limits, int first, int last) {
    using Rows = RowKernels<V>;
    for (int row = first; row < last; ++row) {
      const auto at = [&](int unit) { return w + Rows::place(unit, stride, row, units); };
      const T squares = Rows::total(units, [&](int unit) {
        const V x = V::load(at(unit));
        return x * x;
      });
      const V scale = limits.scale(V(sqrt(squares)));
      T factor[V::lanes];
      scale.store(factor);
      if (factor[0] == T(1)) continue;
      Rows::each(units, [&](int unit, int) { (V::load(at(unit)) * scale).store(at(unit)); });
    }
  }
};

}  // namespace evenflow
