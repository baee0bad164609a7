// Eager kernels of layers: dense and batch normalization, both directions.
#include <pybind11/stl.h>

#include <cmath>

#include "bindings/eager.h"

namespace evenflow {

namespace {

py::array dense_forward(const py::object& x_, const py::object& w_, const py::object& b_) {
  const char* name = "dense_forward";
  const py::array x = array(name, "x", x_, 2), w = array(name, "w", w_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x), units = columns_of(w);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    const T* weights = dense<T>(name, "w", w, {inputs, -1});
    const T* bias = b_.is_none() ? nullptr : dense<T>(name, "b", array(name, "b", b_, 1), {units});
    py::array y = made<T>({rows, units});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const Tensor<T> a(k, rows, inputs, from), packed(k, inputs, units, weights);
    const std::vector<T> shift = padded(k.layout, units, bias);
    Tensor<T> c(k, rows, units);
    for (int p = 0; p < k.layout.panels(units); ++p) {
      k.product(c.panel(p), a.panel(0), a.stride(), packed.panel(p), 0, rows, inputs, c.width(p));
      Columns<T> columns;
      columns.shift = shift.data() + p * k.layout.full();
      if (bias != nullptr)
        k.activations[0].forward[static_cast<int>(Affine::bias)](c.panel(p), c.panel(p), rows, c.width(p), columns,
                                                                 nullptr);
    }
    c.store(to);
    return y;
  });
}

py::tuple dense_backward(const py::object& dy_, const py::object& x_, const py::object& w_) {
  const char* name = "dense_backward";
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2), w = array(name, "w", w_, 2);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x), units = columns_of(w);
    const T* gradient = dense<T>(name, "dy", dy, {rows, units});
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    const T* weights = dense<T>(name, "w", w, {inputs, units});
    py::array dx = made<T>({rows, inputs}), dw = made<T>({inputs, units}), db = made<T>({units});
    T *to_dx = data_of<T>(dx), *to_dw = data_of<T>(dw), *to_db = data_of<T>(db);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      const int full = k.layout.full();
      Tensor<T> dz(k, rows, units, gradient);
      const Tensor<T> a(k, rows, inputs, from);
      Tensor<T> below(k, rows, inputs), slope(k, inputs, units);
      const Tensor<T> packed(k, inputs, units, weights);
      std::vector<T> scratch(static_cast<std::size_t>(k.layout.padded(units)) * static_cast<std::size_t>(full));
      for (int p = 0; p < k.layout.panels(inputs); ++p) {
        k.transpose(scratch.data(), packed.data, inputs, units, p * full, below.width(p));
        k.product(below.panel(p), dz.panel(0), dz.stride(), scratch.data(), 0, rows, units, below.width(p));
      }
      std::vector<T> sums(static_cast<std::size_t>(k.layout.panels(units) * full));
      for (int p = 0; p < k.layout.panels(units); ++p) {
        for (int q = 0; q < k.layout.panels(inputs); ++q)
          k.weight_gradient(slope.panel(p) + static_cast<std::ptrdiff_t>(q) * full * slope.width(p), a.panel(q),
                            dz.panel(p), rows, a.width(q), a.valid(q), slope.width(p));
        k.activations[0].backward[static_cast<int>(Affine::bias)](dz.panel(p), nullptr, nullptr, rows, dz.width(p),
                                                                  Columns<T>{sums.data()}, sums.data() + p * full,
                                                                  nullptr, nullptr);
      }
      below.store(to_dx);
      slope.store(to_dw);
      std::copy_n(sums.begin(), units, to_db);
    }
    return py::make_tuple(dx, dw, db);
  });
}

// Batch normalization, one panel after the other: what all three functions share.
template <class T>
struct Normalization {
  const Kernels<T>& k = kernels<T>();
  int rows, features;
  std::vector<T> gamma, beta, mean, variance, inverse, scale;

  Normalization(int r, int f, const T* g, const T* b, const T* m, const T* v)
      : rows(r),
        features(f),
        gamma(padded(k.layout, f, g)),
        beta(padded(k.layout, f, b)),
        mean(padded(k.layout, f, m)),
        variance(padded(k.layout, f, v)),
        inverse(gamma.size()),
        scale(gamma.size()) {}
  Columns<T> columns(int p, double epsilon) {
    const int at = p * k.layout.full();
    k.normalizer(inverse.data() + at, scale.data() + at, variance.data() + at, gamma.data() + at, epsilon,
                 k.layout.width(features, p));
    return {beta.data() + at, mean.data() + at, inverse.data() + at, scale.data() + at};
  }
};

void check_epsilon(const char* function, double epsilon) {
  if (!(epsilon >= 0) || std::isinf(epsilon))
    refuse(function, "epsilon", "a finite number of at least 0", std::to_string(epsilon));
}

template <class T>
void normalize(Normalization<T>& n, Tensor<T>& x, double epsilon, bool batch) {
  for (int p = 0; p < n.k.layout.panels(n.features); ++p) {
    const int at = p * n.k.layout.full();
    if (batch) n.k.moments(n.mean.data() + at, n.variance.data() + at, x.panel(p), n.rows, x.width(p));
    const Columns<T> columns = n.columns(p, epsilon);
    n.k.activations[0].forward[static_cast<int>(Affine::normalize)](x.panel(p), x.panel(p), n.rows, x.width(p), columns,
                                                                    nullptr);
  }
}

py::tuple batch_norm_forward(const py::object& x_, const py::object& gamma_, const py::object& beta_, double epsilon) {
  const char* name = "batch_norm_forward";
  const py::array x = array(name, "x", x_, 2);
  check_epsilon(name, epsilon);
  return by_type(name, "x", x, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T* gamma = dense<T>(name, "gamma", array(name, "gamma", gamma_, 1), {features});
    const T* beta = dense<T>(name, "beta", array(name, "beta", beta_, 1), {features});
    if (rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    py::array y = made<T>({rows, features}), mean = made<T>({features}), variance = made<T>({features});
    T *to = data_of<T>(y), *to_mean = data_of<T>(mean), *to_variance = data_of<T>(variance);
    {
      py::gil_scoped_release nogil;
      Normalization<T> n(rows, features, gamma, beta, nullptr, nullptr);
      Tensor<T> tensor(n.k, rows, features, from);
      normalize(n, tensor, epsilon, true);
      tensor.store(to);
      std::copy_n(n.mean.begin(), features, to_mean);
      std::copy_n(n.variance.begin(), features, to_variance);
    }
    return py::make_tuple(y, mean, variance);
  });
}

py::array batch_norm_inference(const py::object& x_, const py::object& gamma_, const py::object& beta_,
                               const py::object& mean_, const py::object& variance_, double epsilon) {
  const char* name = "batch_norm_inference";
  const py::array x = array(name, "x", x_, 2);
  check_epsilon(name, epsilon);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const auto vector = [&](const char* argument, const py::object& object) {
      return dense<T>(name, argument, array(name, argument, object, 1), {features});
    };
    const T *gamma = vector("gamma", gamma_), *beta = vector("beta", beta_), *mean = vector("mean", mean_),
            *variance = vector("variance", variance_);
    py::array y = made<T>({rows, features});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    Normalization<T> n(rows, features, gamma, beta, mean, variance);
    Tensor<T> tensor(n.k, rows, features, from);
    normalize(n, tensor, epsilon, false);
    tensor.store(to);
    return y;
  });
}

py::tuple batch_norm_backward(const py::object& dy_, const py::object& x_, const py::object& gamma_,
                              const py::object& mean_, const py::object& variance_, double epsilon) {
  const char* name = "batch_norm_backward";
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2);
  check_epsilon(name, epsilon);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* gradient = dense<T>(name, "dy", dy, {rows, features});
    const T* from = dense<T>(name, "x", x, {rows, features});
    const auto vector = [&](const char* argument, const py::object& object) {
      return dense<T>(name, argument, array(name, argument, object, 1), {features});
    };
    const T *gamma = vector("gamma", gamma_), *mean = vector("mean", mean_), *variance = vector("variance", variance_);
    if (rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    py::array dx = made<T>({rows, features}), dgamma = made<T>({features}), dbeta = made<T>({features});
    T *to = data_of<T>(dx), *to_gamma = data_of<T>(dgamma), *to_beta = data_of<T>(dbeta);
    {
      py::gil_scoped_release nogil;
      Normalization<T> n(rows, features, gamma, nullptr, mean, variance);
      const Tensor<T> input(n.k, rows, features, from);
      Tensor<T> dz(n.k, rows, features, gradient);
      std::vector<T> shift(n.gamma.size()), scale(n.gamma.size());
      for (int p = 0; p < n.k.layout.panels(features); ++p) {
        const Columns<T> columns = n.columns(p, epsilon);
        T *own_shift = shift.data() + p * n.k.layout.full(), *own_scale = scale.data() + p * n.k.layout.full();
        n.k.activations[0].backward[static_cast<int>(Affine::normalize)](
            dz.panel(p), input.panel(p), nullptr, rows, dz.width(p), columns, own_shift, own_scale, nullptr);
        n.k.normalize_backward(dz.panel(p), input.panel(p), rows, dz.width(p), columns, own_shift, own_scale);
      }
      dz.store(to);
      std::copy_n(scale.begin(), features, to_gamma);
      std::copy_n(shift.begin(), features, to_beta);
    }
    return py::make_tuple(dx, dgamma, dbeta);
  });
}

}  // namespace

void bind_layers(py::module_& m) {
  m.def("dense_forward", &dense_forward, py::arg("x"), py::arg("w"), py::arg("b") = py::none());
  m.def("dense_backward", &dense_backward, py::arg("dy"), py::arg("x"), py::arg("w"));
  m.def("batch_norm_forward", &batch_norm_forward, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::kw_only(),
        py::arg("epsilon"));
  m.def("batch_norm_inference", &batch_norm_inference, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"),
        py::arg("variance"), py::kw_only(), py::arg("epsilon"));
  m.def("batch_norm_backward", &batch_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"), py::arg("mean"),
        py::arg("variance"), py::kw_only(), py::arg("epsilon"));
}

}  // namespace evenflow
