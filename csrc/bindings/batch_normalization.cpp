// Eager kernels of batch normalization, both directions: columns in panels, a group of them at a time.
#include <pybind11/stl.h>

#include "bindings/chain.h"
#include "bindings/dense.h"
#include "bindings/names.h"

namespace evenflow {

namespace {

// visit(panel, memory) for every panel on a team; each thread has memory for so many panels of all rows.
template <class T, class Visit>
void each_panel(const Kernels<T>& k, int rows, int features, int panels_of_memory, Visit visit) {
  const std::size_t panel = static_cast<std::size_t>(std::max(rows, 1)) * static_cast<std::size_t>(k.layout.full());
  const std::size_t own = panel * static_cast<std::size_t>(panels_of_memory);
  const int wanted = eager_threads(static_cast<double>(sizeof(T)) * rows * features * nanoseconds_of_byte * 2);
  const Scratch scratch(sizeof(T) * own * static_cast<std::size_t>(wanted));
  team::run(wanted, [&](int thread, int threads) {
    T* memory = static_cast<T*>(scratch.data()) + own * static_cast<std::size_t>(thread);
    const Share panels(k.layout.panels(features), thread, threads);
    for (int p = panels.first; p < panels.end; ++p) visit(p, memory, memory + panel);
  });
}

template <class T>
void normalize(Chain<T>& chain, const T* x, T* y, int rows) {
  const Kernels<T>& k = chain.k;
  each_panel(k, rows, chain.features, 1, [&](int p, T* c, T*) {
    const std::ptrdiff_t stride = Matrix<T>{x, rows, chain.features}.of_columns(k, c, p, p + 1).stride;
    chain.forward(p, c, 0, rows);
    store_rows(k, y, chain.features, c, stride, p, p + 1, 0, rows);
  });
}

py::tuple batch_norm_forward(const py::object& x_, const py::object& gamma_, const py::object& beta_, double epsilon,
                             const py::object& out) {
  const char* name = "batch_norm_forward";
  const py::array x = array(name, "x", x_, 2), gamma = array(name, "gamma", gamma_, 1),
                  beta = array(name, "beta", beta_, 1);
  check_epsilon(name, epsilon);
  return by_type(name, "x", x, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T *scale = dense<T>(name, "gamma", gamma, {features}), *shift = dense<T>(name, "beta", beta, {features});
    if (rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    Outputs outputs(name, out, 3);
    T* y = outputs.add<T>({rows, features}, {&x, &gamma, &beta}, true);
    T *mean = outputs.add<T>({features}, {&x, &gamma, &beta}),
      *variance = outputs.add<T>({features}, {&x, &gamma, &beta});
    {
      py::gil_scoped_release nogil;
      Chain<T> chain(features);
      chain.normalize(scale, shift, nullptr, nullptr, true, epsilon);
      normalize(chain, from, y, rows);
      std::copy_n(chain.mean.begin(), features, mean);
      std::copy_n(chain.variance.begin(), features, variance);
    }
    return outputs.all();
  });
}

py::object batch_norm_inference(const py::object& x_, const py::object& gamma_, const py::object& beta_,
                                const py::object& mean_, const py::object& variance_, double epsilon,
                                const py::object& out) {
  const char* name = "batch_norm_inference";
  const py::array x = array(name, "x", x_, 2), gamma = array(name, "gamma", gamma_, 1),
                  beta = array(name, "beta", beta_, 1), mean = array(name, "mean", mean_, 1),
                  variance = array(name, "variance", variance_, 1);
  check_epsilon(name, epsilon);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T *scale = dense<T>(name, "gamma", gamma, {features}), *shift = dense<T>(name, "beta", beta, {features}),
            *center = dense<T>(name, "mean", mean, {features}),
            *spread = dense<T>(name, "variance", variance, {features});
    Outputs outputs(name, out, 1);
    T* y = outputs.add<T>({rows, features}, {&x, &gamma, &beta, &mean, &variance}, true);
    {
      py::gil_scoped_release nogil;
      Chain<T> chain(features);
      chain.normalize(scale, shift, center, spread, false, epsilon);
      normalize(chain, from, y, rows);
    }
    return outputs.one();
  });
}

py::tuple batch_norm_backward(const py::object& dy_, const py::object& x_, const py::object& gamma_,
                              const py::object& mean_, const py::object& variance_, double epsilon,
                              const py::object& out) {
  const char* name = "batch_norm_backward";
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2), gamma = array(name, "gamma", gamma_, 1),
                  mean = array(name, "mean", mean_, 1), variance = array(name, "variance", variance_, 1);
  check_epsilon(name, epsilon);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* gradient = dense<T>(name, "dy", dy, {rows, features});
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T *scale = dense<T>(name, "gamma", gamma, {features}), *center = dense<T>(name, "mean", mean, {features}),
            *spread = dense<T>(name, "variance", variance, {features});
    if (rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    Outputs outputs(name, out, 3);
    const Outputs::Inputs read{&dy, &x, &gamma, &mean, &variance};
    T *dx = outputs.add<T>({rows, features}, read, true), *dgamma = outputs.add<T>({features}, read),
      *dbeta = outputs.add<T>({features}, read);
    {
      py::gil_scoped_release nogil;
      Chain<T> chain(features);
      chain.normalize(scale, nullptr, center, spread, true, epsilon);
      chain.make_sums();
      each_panel(chain.k, rows, features, 2, [&](int p, T* dz, T* z) {
        const std::ptrdiff_t stride = Matrix<T>{gradient, rows, features}.of_columns(chain.k, dz, p, p + 1).stride;
        Matrix<T>{from, rows, features}.of_columns(chain.k, z, p, p + 1);
        chain.backward(p, dz, z, nullptr, rows);
        store_rows(chain.k, dx, features, dz, stride, p, p + 1, 0, rows);
      });
      std::copy_n(chain.dscale.begin(), features, dgamma);
      std::copy_n(chain.dshift.begin(), features, dbeta);
    }
    return outputs.all();
  });
}

py::object moving_average(const py::object& moving_, const py::object& batch_, double momentum, const py::object& out) {
  const char* name = "moving_average";
  const py::array moving = array(name, "moving", moving_, 1), batch = array(name, "batch", batch_, 1);
  if (!(momentum >= 0 && momentum <= 1)) refuse(name, "momentum", "0 to 1", number_text(momentum));
  return by_type(name, "moving", moving, [&](auto type) {
    using T = decltype(type);
    const int features = static_cast<int>(moving.size());
    const T *from = dense<T>(name, "moving", moving, {features}), *now = dense<T>(name, "batch", batch, {features});
    Outputs outputs(name, out, 1);
    T* to = outputs.add<T>({features}, {&moving, &batch}, true);
    {
      py::gil_scoped_release nogil;
      const Kernels<T>& k = kernels<T>();
      std::vector<T> average = padded(k.layout, features, from);
      const std::vector<T> value = padded(k.layout, features, now);
      k.moving_average(average.data(), value.data(), momentum, 1 - momentum, k.layout.padded(features));
      std::copy_n(average.begin(), features, to);
    }
    return outputs.one();
  });
}

}  // namespace

void bind_batch_normalization(py::module_& m) {
  const py::none none;
  m.def("batch_norm_forward", &batch_norm_forward, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::kw_only(),
        py::arg("epsilon"), py::arg("out") = none);
  m.def("batch_norm_inference", &batch_norm_inference, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"),
        py::arg("variance"), py::kw_only(), py::arg("epsilon"), py::arg("out") = none);
  m.def("batch_norm_backward", &batch_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"), py::arg("mean"),
        py::arg("variance"), py::kw_only(), py::arg("epsilon"), py::arg("out") = none);
  m.def("moving_average", &moving_average, py::arg("moving"), py::arg("batch"), py::kw_only(), py::arg("momentum"),
        py::arg("out") = none);
}

}  // namespace evenflow
