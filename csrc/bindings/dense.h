// What dense layers are made of, on arrays as they lie: products with panels of weights, packed a group at a time into
// memory that stays in the second-level cache, on a team of threads. Every element of a result is one chain of
// multiply-adds in the program's order, so that neither threads nor groups change a bit.
#pragma once

#include <algorithm>

#include "bindings/eager.h"
#include "bindings/switches.h"

namespace evenflow {

// A matrix of so many bytes is multiplied as it lies: packing it would take longer than it saves. With the switch off
// each is packed.
inline bool is_small(std::size_t element, int rows, int columns) {
  constexpr std::size_t most = std::size_t{1} << 20;
  static const bool on = fusion_wished();
  return on && element * static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) <= most;
}

// Panels of a matrix, `stride` apart; from row to row it is as far as a panel is wide, or the pitch. The last one may
// lie elsewhere, and then is packed.
template <class T>
struct Panels {
  const T* data;
  std::ptrdiff_t stride, pitch = 0;
  const T* edge = nullptr;
  int last = -1;
  const T* operator[](int p) const { return p == last ? edge : data + p * stride; }
  std::ptrdiff_t pitch_of(int p) const { return p == last ? 0 : pitch; }
};

// A matrix [rows, columns] in C order.
template <class T>
struct Matrix {
  const T* data;
  int rows, columns;

  // Panels [first, end) of its columns, [panel][row][width], with room for so many rows between them: where panels are
  // a power of two apart, a row's stores all fall into one set of a cache.
  Panels<T> of_columns(const Kernels<T>& k, T* to, int first, int end, int gap = 0) const {
    const int full = k.layout.full(), from = first * full, count = std::min(columns, end * full) - from;
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(rows + gap) * full;
    for (int row = 0; row < rows; ++row)
      k.spread(to, stride, data + static_cast<std::ptrdiff_t>(row) * columns + from, row, count, 0, end - first);
    return {to, stride};
  }
  // Panels [first, end) of its rows, [panel][column][width]; `flip` has room for one.
  Panels<T> of_rows(const Kernels<T>& k, T* to, T* flip, int first, int end) const {
    const int full = k.layout.full();
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(k.layout.padded(columns)) * full;
    for (int p = first; p < end; ++p) {
      const int from = p * full, count = std::min(rows - from, full);
      Matrix{data + static_cast<std::ptrdiff_t>(from) * columns, count, columns}.of_columns(k, flip, 0,
                                                                                            k.layout.panels(columns));
      k.transpose(to + (p - first) * stride, flip, count, columns, 0, k.layout.width(rows, p));
    }
    return {to, stride};
  }
};

// The weights of a layer: [inputs, units], or [units, inputs] as PyTorch has them; or in panels already.
template <class T>
struct Weights {
  int inputs, units;
  const T* data;
  bool transposed;
  const T* packed;  // [unit panel][input][width], or nullptr

  Panels<T> of_units(const Kernels<T>& k, T* to, T* flip, int first, int end) const {
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(inputs) * k.layout.full();
    if (packed != nullptr) return {packed + first * stride, stride};
    if (transposed) return Matrix<T>{data, units, inputs}.of_rows(k, to, flip, first, end);
    return Matrix<T>{data, inputs, units}.of_columns(k, to, first, end, 1);
  }
  // The same, of weights that are multiplied as they lie where they can be.
  Panels<T> near_units(const Kernels<T>& k, T* to, T* flip, int first, int end) const {
    if (packed != nullptr || transposed || !is_small(sizeof(T), inputs, units))
      return of_units(k, to, flip, first, end);
    const int full = k.layout.full();
    Panels<T> found{data + first * full, full, units};
    if (end * full >= k.layout.padded(units) && units != k.layout.padded(units)) {  // its vectors would reach too far
      found.last = end - 1 - first;
      found.edge = of_units(k, to, flip, end - 1, end).data;
    }
    return found;
  }
  // Of the transposed weights: [input panel][unit][width]
  Panels<T> of_inputs(const Kernels<T>& k, T* to, T* flip, int first, int end) const {
    if (packed == nullptr && transposed) return Matrix<T>{data, units, inputs}.of_columns(k, to, first, end);
    if (packed == nullptr) return Matrix<T>{data, inputs, units}.of_rows(k, to, flip, first, end);
    const int full = k.layout.full();
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(k.layout.padded(units)) * full;
    for (int p = first; p < end; ++p)
      k.transpose(to + (p - first) * stride, packed, inputs, units, p * full, k.layout.width(inputs, p));
    return {to, stride};
  }
};

// How many panels and rows a thread works on before it goes on to the next ones.
struct Tiling {
  int panels, rows;
  std::size_t b, c, flip;  // elements of a thread's memory

  Tiling(Layout layout, std::size_t element, int depth, int all_rows) {
    constexpr std::size_t group = std::size_t{2} << 20, block = std::size_t{1} << 20;
    const auto deep = static_cast<std::size_t>(std::max(layout.padded(depth), 1)), full = std::size_t(layout.full());
    const auto high = static_cast<std::size_t>(std::max(all_rows, 1));
    panels = static_cast<int>(std::clamp<std::size_t>(group / (element * full * std::max(deep, high)), 1, 16));
    rows = static_cast<int>(std::max<std::size_t>(block / (element * deep) / 12, 2)) * 12;
    flip = deep * full;
    b = static_cast<std::size_t>(panels) * (flip + full);
    c = static_cast<std::size_t>(panels) * high * full;
  }
  std::size_t elements() const { return b + c + flip; }
};

// Rows of x into panels: a thread's share of them.
template <class T>
void pack_rows(const Tensor<T>& to, const T* x, int rows, int thread, int threads) {
  const Share own(rows, thread, threads);
  for (int row = own.first; row < own.end; ++row)
    to.k.spread(to.data, to.stride(), x + static_cast<std::ptrdiff_t>(row) * to.features, row, to.features, 0,
                to.layout.panels(to.features));
}

// Rows [first, last) of the panels [panel, end) at c back into y, of `features` columns.
template <class T>
void store_rows(const Kernels<T>& k, T* y, int features, const T* c, std::ptrdiff_t stride, int panel, int end,
                int first, int last) {
  const int from = panel * k.layout.full(), count = std::min(features, end * k.layout.full()) - from;
  for (int row = first; row < last; ++row)
    k.collect(y + static_cast<std::ptrdiff_t>(row) * features + from, c, stride, row, count);
}

// c = a b, where a has `all` rows and `depth` features, b `features`: source(to, flip, panel, end) gives panels of b,
// finish(c, stride, panel, end, first, last) is told of every block of rows of c, or of all rows at once.
template <class T, class Source, class Finish>
void multiply(const Kernels<T>& k, const Panels<T>& a, int all, int depth, int features, bool all_rows,
              const Tiling& tiling, T* memory, int thread, int threads, Source source, Finish finish) {
  const int panels = k.layout.panels(features);
  if (panels == 0) return;
  const int full = k.layout.full();
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(std::max(all, 1)) * full;
  const int columns = std::min(threads, panels), parts = all_rows ? 1 : threads / columns;
  if (thread >= columns * parts) return;
  const Share own(panels, thread % columns, columns), rows(all, thread / columns, parts);
  T *const b = memory, *const c = b + tiling.b, *const flip = c + tiling.c;
  const int step = std::max(tiling.rows, 1);
  for (int p = own.first; p < own.end; p += tiling.panels) {
    const int end = std::min(p + tiling.panels, own.end);
    const Panels<T> right = source(b, flip, p, end);
    for (int first = rows.first; first < rows.end; first += step) {
      const int last = std::min(first + step, rows.end);
      for (int q = p; q < end; ++q) {
        const int width = k.layout.width(features, q);
        k.product(c + (q - p) * stride, {a.data, a.stride, right[q - p], a.pitch, right.pitch_of(q - p)}, first,
                  last - first, depth, width);
      }
      if (!all_rows) finish(c, stride, p, end, first, last);
    }
    if (all_rows) finish(c, stride, p, end, 0, all);
  }
}

// g = a^T b [features of a, features of b], summed over all rows.
template <class T>
void outer_product(T* g, const Tensor<T>& a, const Tensor<T>& b, const Tiling& tiling, T* memory, int thread,
                   int threads) {
  const Kernels<T>& k = a.k;
  const int full = k.layout.full(), high = k.layout.panels(a.features), wide = k.layout.panels(b.features);
  const bool by_columns = wide >= high;
  const Share down(high, by_columns ? 0 : thread, by_columns ? 1 : threads),
      across(wide, by_columns ? thread : 0, by_columns ? threads : 1);
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(full) * full;
  for (int p = across.first; p < across.end; p += tiling.panels) {
    const int end = std::min(p + tiling.panels, across.end);
    for (int q = down.first; q < down.end; ++q) {
      for (int r = p; r < end; ++r)
        k.weight_gradient(memory + (r - p) * stride, a.panel(q), b.panel(r), a.rows, a.width(q), a.valid(q),
                          b.width(r));
      store_rows(k, g + static_cast<std::ptrdiff_t>(q) * full * b.features, b.features, memory, stride, p, end, 0,
                 a.valid(q));
    }
  }
}

}  // namespace evenflow
