// Rows of a table by ids, and the sum of their gradients.
#pragma once

#include "kernels/kernels.h"

namespace evenflow {

template <class V>
struct EmbeddingKernels {
  using T = scalar_of<V>;

  // f(j, valid lanes) for each vector of a part
  template <class Body>
  EVENFLOW_INLINE static void each(int count, Body body) {
    for (int j = 0; j < count; j += V::lanes) body(j, smaller(V::lanes, count - j));
  }

  static void forward(T* y, int width, const T* table, const Embedded<T>& part) {
    for (int row = 0; row < part.rows; ++row, y += width) {
      const std::ptrdiff_t at = part.begin(row);
      each(part.count, [&](int j, int valid) {
        (at < 0 ? V(Format<T>::nan) : V::load(table + at + j, valid)).store(y + j, valid);
      });
    }
  }

  static void backward(T* dtable, std::ptrdiff_t first, std::ptrdiff_t end, const T* dy, int width,
                       const Embedded<T>& part) {
    for (int row = 0; row < part.rows; ++row, dy += width) {
      const std::ptrdiff_t at = part.begin(row);
      if (at < 0 || at >= end || at + part.count <= first) continue;
      if (at >= first && at + part.count <= end) {
        each(part.count, [&](int j, int valid) {
          (V::load(dtable + at + j, valid) + V::load(dy + j, valid)).store(dtable + at + j, valid);
        });
      } else {  // a row that lies in two pieces
        for (int j = 0; j < part.count; ++j)
          if (at + j >= first && at + j < end) dtable[at + j] += dy[j];
      }
    }
  }
};

}  // namespace evenflow
