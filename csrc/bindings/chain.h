// What follows the product of a dense layer: bias, batch normalization, activation, dropout. One panel at a time.
#pragma once

#include "bindings/eager.h"
#include "program/spec.h"

namespace evenflow {

template <class T>
struct Chain {
  const Kernels<T>& k = kernels<T>();
  int features;
  std::size_t activation = 0;  // in the table
  const double* parameters = nullptr;
  bool normalized = false, batch = false;  // with the batch's statistics
  double epsilon = 0;
  const Noise* noise = nullptr;
  Draw draw{};
  bool biased = false;
  std::vector<T> zeros, bias, gamma, beta, mean, variance, inverse, scale, dbias, dshift, dscale;

  explicit Chain(int f) : features(f) {}
  void add_bias(const T* b) {
    biased = b != nullptr;
    if (biased) bias = padded(k.layout, features, b);
  }
  void normalize(const T* g, const T* b, const T* m, const T* v, bool of_batch, double e) {
    normalized = true;
    batch = of_batch;
    epsilon = e;
    gamma = padded(k.layout, features, g);
    beta = padded(k.layout, features, b);
    mean = padded(k.layout, features, m);
    variance = padded(k.layout, features, v);
    inverse.resize(gamma.size());
    scale.resize(gamma.size());
    for (int p = 0; !batch && p < k.layout.panels(features); ++p) prepare(p);
  }

  // Before the way back.
  void make_sums() {
    for (auto* made : {&zeros, &dbias, &dshift, &dscale})
      made->assign(static_cast<std::size_t>(k.layout.panels(features) * k.layout.full()), T(0));
  }

  int at(int p) const { return p * k.layout.full(); }
  int width(int p) const { return k.layout.width(features, p); }
  // What statistics come to.
  void prepare(int p) {
    k.normalizer(inverse.data() + at(p), scale.data() + at(p), variance.data() + at(p), gamma.data() + at(p), epsilon,
                 width(p));
  }
  Columns<T> columns(int p) const {
    if (!normalized) return {};
    return {beta.data() + at(p), mean.data() + at(p), inverse.data() + at(p), scale.data() + at(p)};
  }
  Draw draw_of(int p, int row) const {
    Draw own = draw;
    own.row += static_cast<std::uint32_t>(row);
    own.feature = static_cast<std::uint32_t>(at(p));
    return own;
  }

  // z of rows [first, last), c the whole panel.
  void shift(int p, T* c, int first, int last) const {
    if (!biased) return;
    T* own = c + static_cast<std::ptrdiff_t>(first) * width(p);
    Columns<T> columns;
    columns.shift = bias.data() + at(p);
    k.activations[0].forward[static_cast<int>(Affine::bias)](own, own, last - first, width(p), columns, nullptr);
  }
  // And y from z, in its place.
  void forward(int p, T* c, int first, int last) {
    T* own = c + static_cast<std::ptrdiff_t>(first) * width(p);
    const int rows = last - first;
    if (batch) {
      k.moments(mean.data() + at(p), variance.data() + at(p), own, rows, width(p));
      prepare(p);
    }
    const Affine form = normalized ? Affine::normalize : Affine::none;
    if (normalized || activation != 0)
      k.activations[activation].forward[static_cast<int>(form)](own, own, rows, width(p), columns(p), parameters);
    if (noise != nullptr) k.noises[noise->kind].forward(own, own, rows, width(p), draw_of(p, first), noise->parameters);
  }
  // dz from dy, in its place, and the gradients of bias, beta and gamma. z may be nullptr where nothing needs it; y is
  // computed again, into memory of a panel.
  void backward(int p, T* dy, const T* z, T* y, int rows) {
    if (noise != nullptr) k.noises[noise->kind].backward(dy, nullptr, rows, width(p), draw_of(p, 0), noise->parameters);
    const int form = static_cast<int>(normalized ? Affine::normalize : Affine::bias);
    const auto& kernel = k.activations[activation];
    if (batch) prepare(p);
    const Columns<T> own = normalized ? columns(p) : unshifted(p);
    if (activation != 0) kernel.forward[form](y, z, rows, width(p), own, parameters);
    T* const sums = (normalized ? dshift : dbias).data() + at(p);
    T* const products = normalized ? dscale.data() + at(p) : nullptr;
    kernel.backward[form](dy, z, y, rows, width(p), own, sums, products, parameters);
    if (!normalized) return;
    if (batch)
      k.normalize_backward(dy, z, rows, width(p), own, sums, products);
    else
      k.scale_columns(dy, rows, width(p), scale.data() + at(p));
    sum_columns(p, dy, rows);
  }

 private:
  void sum_columns(int p, T* dz, int rows) {
    k.activations[0].backward[static_cast<int>(Affine::bias)](dz, nullptr, nullptr, rows, width(p), unshifted(p),
                                                              dbias.data() + at(p), nullptr, nullptr);
  }
  // Of a z that has its bias already.
  Columns<T> unshifted(int p) const {
    Columns<T> columns;
    columns.shift = zeros.data() + at(p);
    return columns;
  }
};

}  // namespace evenflow
