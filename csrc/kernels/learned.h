// Activations with a trained parameter: the column operations of columns.h with one more vector, and the table of all.
#pragma once

#include "kernels/columns.h"
#include "math/learned.h"

namespace evenflow {

template <class V, class Activation, Affine form>
struct LearnedOperation {
  using T = scalar_of<V>;
  using Curve = typename Activation::template Curve<V>;

  static void forward(T* y, const T* x, int rows, int width, const Columns<T>& columns, const double*) {
    each_vector<V>(width, [&](int j) {
      const AffineColumn<V, form> affine(columns, j);
      const Curve curve(V::load(columns.learned + j));
      for (int row = 0; row < rows; ++row) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + j;
        curve.value(affine(V::load(x + at))).store(y + at);
      }
    });
  }

  static void backward(T* dy, const T* x, const T*, int rows, int width, const Columns<T>& columns, T* dshift,
                       T* dscale, const double*) {
    each_vector<V>(width, [&](int j) {
      const AffineColumn<V, form> affine(columns, j);
      const Curve curve(V::load(columns.learned + j));
      V inverse(0), sum(0), product(0), learned(0);
      if constexpr (form == Affine::normalize) inverse = V::load(columns.inverse + j);
      for (int row = 0; row < rows; ++row) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + j;
        const V input = V::load(x + at);
        V g = V::load(dy + at);
        const Slopes<V> slopes = curve.slopes(affine(input));
        learned = fma(g, slopes.in_parameter, learned);
        g = g * slopes.in_x;
        g.store(dy + at);
        if constexpr (form != Affine::none) sum += g;
        if constexpr (form == Affine::normalize) product = fma(g, (input - affine.mean) * inverse, product);
      }
      learned.store(columns.dlearned + j);
      if constexpr (form != Affine::none) sum.store(dshift + j);
      if constexpr (form == Affine::normalize) product.store(dscale + j);
    });
  }
};

template <class V, class Activation>
constexpr ActivationKernel<scalar_of<V>> learned_kernel() {
  ActivationKernel<scalar_of<V>> kernel{};
  kernel.name = Activation::name;
  kernel.needs_input = true;
  kernel.learned = Activation::parameter.name;
  kernel.learned_initial = Activation::parameter.initial;
  kernel.forward[0] = LearnedOperation<V, Activation, Affine::none>::forward;
  kernel.forward[1] = LearnedOperation<V, Activation, Affine::bias>::forward;
  kernel.forward[2] = LearnedOperation<V, Activation, Affine::normalize>::forward;
  kernel.backward[0] = LearnedOperation<V, Activation, Affine::none>::backward;
  kernel.backward[1] = LearnedOperation<V, Activation, Affine::bias>::backward;
  kernel.backward[2] = LearnedOperation<V, Activation, Affine::normalize>::backward;
  return kernel;
}

// One row of the table per type of the lists.
template <class V, class Types, class LearnedTypes>
struct ActivationTable;
template <class V, class... Types, class... LearnedTypes>
struct ActivationTable<V, List<Types...>, List<LearnedTypes...>> {
  static constexpr ActivationKernel<scalar_of<V>> rows[] = {activation_kernel<V, Types>()...,
                                                            learned_kernel<V, LearnedTypes>()...};
};

}  // namespace evenflow
