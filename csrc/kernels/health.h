// Counts of one panel that tell how healthy a layer is.
#pragma once

#include "kernels/columns.h"

namespace evenflow {

template <class V>
struct HealthKernels {
  using T = scalar_of<V>;

  static void alive(T* alive, const T* y, int rows, int width) {
    each_vector<V>(width, [&](int j) {
      V any(0);
      for (int row = 0; row < rows; ++row) {
        const V value = V::load(y + static_cast<std::ptrdiff_t>(row) * width + j);
        any = select(value == V(0), any, V(1));
      }
      any.store(alive + j);
    });
  }

  static void flat(T* count, const T* slope, int rows, int width, double limit) {
    each_vector<V>(width, [&](int j) {
      const V n = ColumnKernels<V>::sum_rows(rows, [&](int row) {
        const V s = V::load(slope + static_cast<std::ptrdiff_t>(row) * width + j);
        return select(V(limit) > abs(s), V(1), V(0));
      });
      n.store(count + j);
    });
  }
};

}  // namespace evenflow
