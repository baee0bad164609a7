// A penalty on vectors that are not orthogonal: factor times the mean of |cosine| over all pairs of a kernel's columns,
// or of its rows. Keras' OrthogonalRegularizer; Brock et al. 2017 have a relative of it.
#pragma once

#include <algorithm>

#include "kernels/kernels.h"
#include "program/spec.h"

namespace evenflow {

// Its gradient is a product of all pairs with all vectors, so it is computed as a whole before a step's way back.
template <class T>
struct Orthogonality {
  const Kernels<T>& k;
  const int inputs, units;  // of the kernel
  const Orthogonal how;
  // In panels: the vectors as columns of length 1, and what made them that; the cosines, then their signs; the gradient
  // of the vectors, and that of the kernel, which is the same memory where the vectors are its columns.
  T *vectors, *inverses, *pairs, *slopes, *gradient;
  double* sums;  // of each panel of vectors

  int count() const { return how.rows ? inputs : units; }
  int length() const { return how.rows ? units : inputs; }
  // Between panels of the gradient.
  std::ptrdiff_t gradient_stride() const {
    return static_cast<std::ptrdiff_t>(k.layout.full()) * (how.rows ? k.layout.padded(inputs) : inputs);
  }

  // own(features, visit(panel, width)) for the panels of this thread; meet() for all threads.
  template <class Own, class Meet>
  void run(const T* w, bool with_gradient, Own own, Meet meet) const {
    const Layout& layout = k.layout;
    const int full = layout.full(), n = count(), m = length();
    // Transposing writes whole vectors of rows.
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(full) * layout.padded(m),
                         tight = std::ptrdiff_t{full} * m;
    const double share = n < 2 ? 0 : how.factor / (0.5 * n * (n - 1.0));
    own(n, [&](int panel, int width) {
      T* u = vectors + panel * stride;
      if (how.rows)
        k.transpose(u, w, inputs, units, panel * full, width);
      else
        std::copy_n(w + panel * tight, static_cast<std::ptrdiff_t>(m) * width, u);
      k.unit_columns(u, inverses + static_cast<std::ptrdiff_t>(panel) * full, m, width);
    });
    meet();
    own(n, [&](int panel, int width) {
      const T* u = vectors + panel * stride;
      T* g = pairs + static_cast<std::ptrdiff_t>(panel) * full * n;
      for (int part = 0; part < layout.panels(n); ++part) {
        const int first = part * full;
        k.weight_gradient(g + static_cast<std::ptrdiff_t>(first) * width, vectors + part * stride, u, m,
                          layout.width(n, part), std::min(full, n - first), width);
      }
      sums[panel] = 0.5 * share * k.pair_signs(g, panel * full, n, width);
      if (!with_gradient) return;
      T* d = slopes + panel * tight;
      k.product(d, vectors, stride, g, 0, m, n, width);
      k.through_unit_columns(d, u, inverses + static_cast<std::ptrdiff_t>(panel) * full, m, width, share);
    });
    if (!with_gradient || !how.rows) return;
    meet();
    own(units, [&](int panel, int width) {
      k.transpose(gradient + panel * gradient_stride(), slopes, units, inputs, panel * full, width);
    });
  }
};

}  // namespace evenflow
