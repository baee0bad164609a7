// Column operations: loops over one panel, every row of it, one feature per lane.
#pragma once

#include "kernels/kernels.h"
#include "math/activations.h"
#include "math/normalization.h"

namespace evenflow {

// Calls body(j) for the one or two vectors of a panel; N is a constant, so that both share one pass over the rows.
template <class V, class Body>
EVENFLOW_INLINE void each_vector(int width, Body body) {
  for (int j = 0; j < width; j += V::lanes) body(j);
}

template <class V, Affine form>
struct AffineColumn {
  using T = scalar_of<V>;
  V mean, scale, shift;

  EVENFLOW_INLINE AffineColumn(const Columns<T>& columns, int j) {
    if constexpr (form != Affine::none) shift = V::load(columns.shift + j);
    if constexpr (form == Affine::normalize) {
      mean = V::load(columns.mean + j);
      scale = V::load(columns.scale + j);
    }
  }
  EVENFLOW_INLINE V operator()(V x) const {
    if constexpr (form == Affine::none) return x;
    if constexpr (form == Affine::bias) return x + shift;
    if constexpr (form == Affine::normalize) return normalized(x, mean, scale, shift);
  }
};

template <class V, class Activation, Affine form>
struct ColumnOperation {
  using T = scalar_of<V>;

  static void forward(T* y, const T* x, int rows, int width, const Columns<T>& columns, const double* parameters) {
    const Activation activation(parameters);
    each_vector<V>(width, [&](int j) {
      const AffineColumn<V, form> affine(columns, j);
      for (int row = 0; row < rows; ++row) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + j;
        activation.value(affine(V::load(x + at))).store(y + at);
      }
    });
  }

  static void backward(T* dy, const T* x, const T* y, int rows, int width, const Columns<T>& columns, T* dshift,
                       T* dscale, const double* parameters) {
    const Activation activation(parameters);
    each_vector<V>(width, [&](int j) {
      const AffineColumn<V, form> affine(columns, j);
      V inverse(0), sum(0), product(0);
      if constexpr (form == Affine::normalize) inverse = V::load(columns.inverse + j);
      for (int row = 0; row < rows; ++row) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + j;
        V input(0), output(0);
        if constexpr (Activation::needs_input || form == Affine::normalize) input = V::load(x + at);
        if constexpr (!std::is_same_v<Activation, Linear>) output = V::load(y + at);
        V g = V::load(dy + at);
        if constexpr (!std::is_same_v<Activation, Linear>) {
          g = g * activation.slope(Activation::needs_input ? affine(input) : input, output);
          g.store(dy + at);
        }
        if constexpr (form != Affine::none) sum += g;
        if constexpr (form == Affine::normalize) product = fma(g, (input - affine.mean) * inverse, product);
      }
      if constexpr (form != Affine::none) sum.store(dshift + j);
      if constexpr (form == Affine::normalize) product.store(dscale + j);
    });
  }
};

template <class V>
struct ColumnKernels {
  using T = scalar_of<V>;

  // Sum over rows of term(row), in four chains.
  template <class Term>
  EVENFLOW_INLINE static V sum_rows(int rows, Term term) {
    V sum[4] = {V(0), V(0), V(0), V(0)};
    int row = 0;
    for (; row + 4 <= rows; row += 4)
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) sum[c] += term(row + c);
    for (; row < rows; ++row) sum[0] += term(row);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }

  static void moments(T* mean, T* variance, const T* x, int rows, int width) {
    const V count(static_cast<T>(rows));
    each_vector<V>(width, [&](int j) {
      const auto at = [&](int row) { return V::load(x + static_cast<std::ptrdiff_t>(row) * width + j); };
      const V m = sum_rows(rows, at) / count;
      const V squares = sum_rows(rows, [&](int row) {
        const V difference = at(row) - m;
        return difference * difference;
      });
      m.store(mean + j);
      (squares / count).store(variance + j);
    });
  }

  static void normalizer(T* inverse, T* scale, const T* variance, const T* gamma, double epsilon, int width) {
    each_vector<V>(width, [&](int j) {
      const V r = inverse_deviation(V::load(variance + j), epsilon);
      r.store(inverse + j);
      (gamma == nullptr ? r : V::load(gamma + j) * r).store(scale + j);
    });
  }

  static void standardizer(T* inverse, T* scale, const T* variance, double smallest, bool inverted, int width) {
    each_vector<V>(width, [&](int j) {
      const V deviation = bounded_deviation(V::load(variance + j), smallest), r = V(1) / deviation;
      r.store(inverse + j);
      (inverted ? deviation : r).store(scale + j);
    });
  }

  static void moving_average(T* moving, const T* batch, double momentum, double share, int width) {
    each_vector<V>(width, [&](int j) {
      evenflow::moving_average(V::load(moving + j), V::load(batch + j), momentum, share).store(moving + j);
    });
  }

  static void normalize_backward(T* dz, const T* x, int rows, int width, const Columns<T>& columns, const T* dshift,
                                 const T* dscale) {
    const V count(static_cast<T>(rows));
    each_vector<V>(width, [&](int j) {
      const V mean = V::load(columns.mean + j), inverse = V::load(columns.inverse + j);
      const V scale = V::load(columns.scale + j);
      const V shift_part = V::load(dshift + j) / count, scale_part = V::load(dscale + j) / count;
      for (int row = 0; row < rows; ++row) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + j;
        const V own = (V::load(x + at) - mean) * inverse;
        gradient_through_moments(V::load(dz + at), own, scale, shift_part, scale_part).store(dz + at);
      }
    });
  }

  static void scale_columns(T* dz, int rows, int width, const T* scale) {
    each_vector<V>(width, [&](int j) {
      const V factor = V::load(scale + j);
      for (int row = 0; row < rows; ++row) {
        T* at = dz + static_cast<std::ptrdiff_t>(row) * width + j;
        (V::load(at) * factor).store(at);
      }
    });
  }

  static void rescale(T* x, int rows, int width, double scale, double offset) {
    for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(rows) * width; i += V::lanes)
      fma(V::load(x + i), V(scale), V(offset)).store(x + i);
  }

  static void add(T* y, const T* a, std::ptrdiff_t n) {
    for (std::ptrdiff_t i = 0; i < n; i += V::lanes) (V::load(y + i) + V::load(a + i)).store(y + i);
  }
  static void multiply(T* y, const T* a, std::ptrdiff_t n) {
    for (std::ptrdiff_t i = 0; i < n; i += V::lanes) (V::load(y + i) * V::load(a + i)).store(y + i);
  }

  static void clear_padding(T* x, int rows, int width, int valid) {
    for (int row = 0; row < rows; ++row)
      each_vector<V>(width, [&](int j) {
        if (valid >= j + V::lanes) return;
        T* at = x + static_cast<std::ptrdiff_t>(row) * width + j;
        V::load(at, valid > j ? valid - j : 0).store(at);
      });
  }
};

template <class V, class Activation>
constexpr ActivationKernel<scalar_of<V>> activation_kernel() {
  ActivationKernel<scalar_of<V>> kernel{};
  kernel.name = Activation::name;
  kernel.needs_input = Activation::needs_input;
  static_assert(Activation::parameter_count <= most_parameters, "the table has no room for the hyper-parameters");
  kernel.parameter_count = Activation::parameter_count;
  for (int i = 0; i < Activation::parameter_count; ++i) kernel.parameters[i] = Activation::parameters[i];
  kernel.forward[0] = ColumnOperation<V, Activation, Affine::none>::forward;
  kernel.forward[1] = ColumnOperation<V, Activation, Affine::bias>::forward;
  kernel.forward[2] = ColumnOperation<V, Activation, Affine::normalize>::forward;
  kernel.backward[0] = ColumnOperation<V, Activation, Affine::none>::backward;
  kernel.backward[1] = ColumnOperation<V, Activation, Affine::bias>::backward;
  kernel.backward[2] = ColumnOperation<V, Activation, Affine::normalize>::backward;
  return kernel;
}

}  // namespace evenflow
