// A dense layer and what follows it, both ways, on arrays as they lie.
#pragma once

#include <algorithm>

#include "bindings/chain.h"
#include "bindings/dense.h"

namespace evenflow {

inline double dense_nanoseconds(double rows, double inputs, double units, double products) {
  return 2 * products * rows * inputs * units * nanoseconds_of_flop + inputs * units * nanoseconds_of_byte * 4;
}

// y = chain(x w), and z = x w + bias where that is asked for.
template <class T>
void fused_forward(const Weights<T>& w, const T* x, int rows, Chain<T>& chain, T* y, T* z, int most_threads = 0) {
  const Kernels<T>& k = chain.k;
  const Tensor<T> a(k, rows, w.inputs);
  const Tiling tiling(k.layout, sizeof(T), w.inputs, rows);
  const int wanted = eager_threads(dense_nanoseconds(rows, w.inputs, w.units, 1), most_threads);
  const Scratch scratch(sizeof(T) * tiling.elements() * static_cast<std::size_t>(wanted));
  Barrier barrier;
  team::run(wanted, [&](int thread, int threads) {
    pack_rows(a, x, thread, threads);
    barrier.wait(threads);
    T* memory = static_cast<T*>(scratch.data()) + tiling.elements() * static_cast<std::size_t>(thread);
    multiply(
        a, w.units, chain.batch, tiling, memory, thread, threads,
        [&](T* to, T* flip, int p, int end) { return w.of_units(k, to, flip, p, end); },
        [&](T* c, std::ptrdiff_t stride, int p, int end, int first, int last) {
          for (int q = p; q < end; ++q) chain.shift(q, c + (q - p) * stride, first, last);
          if (z != nullptr) store_rows(k, z, w.units, c, stride, p, end, first, last);
          for (int q = p; q < end; ++q) chain.forward(q, c + (q - p) * stride, first, last);
          store_rows(k, y, w.units, c, stride, p, end, first, last);
        });
  });
}

// dw and dx (unless nullptr) from dy; the chain keeps the sums. z may be nullptr for a chain that needs none.
template <class T>
void fused_backward(const Weights<T>& w, const T* dy, const T* x, const T* z, int rows, Chain<T>& chain, T* dx, T* dw,
                    int most_threads = 0) {
  const Kernels<T>& k = chain.k;
  const int inputs = w.inputs, units = w.units;
  const Tensor<T> a(k, rows, inputs);
  Tensor<T> dz(k, rows, units);
  const Tiling tiling(k.layout, sizeof(T), units, rows);
  const auto panel = static_cast<std::size_t>(dz.stride());
  const std::size_t full = static_cast<std::size_t>(k.layout.full());
  const std::size_t own =
      std::max({tiling.elements(), 2 * panel, full * full * static_cast<std::size_t>(tiling.panels)});
  const int wanted = eager_threads(dense_nanoseconds(rows, inputs, units, dx == nullptr ? 1 : 2), most_threads);
  const Scratch scratch(sizeof(T) * own * static_cast<std::size_t>(wanted));
  chain.make_sums();
  Barrier barrier;
  team::run(wanted, [&](int thread, int threads) {
    T* memory = static_cast<T*>(scratch.data()) + own * static_cast<std::size_t>(thread);
    pack_rows(a, x, thread, threads);
    const Share panels(k.layout.panels(units), thread, threads);
    if (panels.first < panels.end)
      Matrix<T>{dy, rows, units}.of_columns(k, dz.panel(panels.first), panels.first, panels.end);
    for (int p = panels.first; p < panels.end; ++p) {
      if (z != nullptr) Matrix<T>{z, rows, units}.of_columns(k, memory, p, p + 1);
      chain.backward(p, dz.panel(p), z == nullptr ? nullptr : memory, memory + panel, rows);
    }
    barrier.wait(threads);
    if (w.transposed)
      outer_product(dw, dz, a, tiling, memory, thread, threads);
    else
      outer_product(dw, a, dz, tiling, memory, thread, threads);
    if (dx == nullptr) return;
    multiply(
        dz, inputs, false, tiling, memory, thread, threads,
        [&](T* to, T* flip, int p, int end) { return w.of_inputs(k, to, flip, p, end); },
        [&](T* c, std::ptrdiff_t stride, int p, int end, int first, int last) {
          store_rows(k, dx, inputs, c, stride, p, end, first, last);
        });
  });
}

}  // namespace evenflow
