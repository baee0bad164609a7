// Eager activations and outputs.
#include <pybind11/stl.h>

#include "bindings/activation_name.h"
#include "bindings/eager.h"
#include "bindings/spec.h"

namespace evenflow {

namespace {

// Of an activation with a trained parameter, in the table.
std::size_t learned_index(const char* function, const std::string& name) {
  const std::vector<std::string> names = activation_names(true);
  return static_cast<std::size_t>(kernels<float>().activation_count) - names.size() +
         index_of(function, "name", name, names);
}

// f(at, vectors) for a share of an array's whole vectors, and for the rest; a vector is a row of one panel.
template <class T, class F, class Rest>
void elementwise(const Kernels<T>& k, std::ptrdiff_t n, F f, Rest rest) {
  const int lanes = k.layout.lanes, edge = static_cast<int>(n % lanes);
  const auto rows = static_cast<int>(n / lanes);
  team::run(eager_threads(static_cast<double>(n) * sizeof(T) * 2 * nanoseconds_of_byte), [&](int t, int threads) {
    const Share own(rows, t, threads);
    if (own.first < own.end) f(static_cast<std::ptrdiff_t>(own.first) * lanes, own.end - own.first);
  });
  if (edge > 0) rest(n - edge, edge);
}

void check_size(const char* function, const char* name, std::ptrdiff_t n) {
  if (n > (std::ptrdiff_t{1} << 32)) refuse(function, name, "at most 2^32 elements", std::to_string(n));
}

py::object activation_forward(const std::string& name, const py::object& x_, const py::object& out,
                              const py::kwargs& parameters) {
  const char* function = "activation_forward";
  const Activation activation = find_activation(function, "name", name, parameters);
  const py::array x = array(function, "x", x_, -1);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    T* from;
    const std::ptrdiff_t n = whole_size<T>(function, "x", x, &from);
    check_size(function, "x", n);
    Outputs outputs(function, out, 1);
    T* to = outputs.add<T>(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()), {&x}, true);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      const int lanes = k.layout.lanes;
      const auto forward = k.activations[activation.index].forward[0];
      const auto run = [&](T* y, const T* a, int rows) { forward(y, a, rows, lanes, {}, activation.parameters); };
      elementwise(
          k, n, [&](std::ptrdiff_t at, int rows) { run(to + at, from + at, rows); },
          [&](std::ptrdiff_t at, int rest) {
            T edge[most_lanes] = {};
            std::copy_n(from + at, rest, edge);
            run(edge, edge, 1);
            std::copy_n(edge, rest, to + at);
          });
    }
    return outputs.one();
  });
}

py::object activation_backward(const std::string& name, const py::object& dy_, const py::object& x_,
                               const py::object& y_, const py::object& out, const py::kwargs& parameters) {
  const char* function = "activation_backward";
  const Activation activation = find_activation(function, "name", name, parameters);
  const py::array dy = array(function, "dy", dy_, -1), x = array(function, "x", x_, -1),
                  y = array(function, "y", y_, -1);
  return by_type(function, "dy", dy, [&](auto type) {
    using T = decltype(type);
    const std::vector<py::ssize_t> shape(dy.shape(), dy.shape() + dy.ndim());
    T* gradient;
    const std::ptrdiff_t n = whole_size<T>(function, "dy", dy, &gradient);
    check_size(function, "dy", n);
    const T *input = dense<T>(function, "x", x, shape), *output = dense<T>(function, "y", y, shape);
    Outputs outputs(function, out, 1);
    T* to = outputs.add<T>(shape, {&dy, &x, &y}, true);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      const int lanes = k.layout.lanes;
      const auto backward = k.activations[activation.index].backward[0];
      const auto run = [&](T* g, const T* a, const T* b, int rows) {
        backward(g, a, b, rows, lanes, {}, nullptr, nullptr, activation.parameters);
      };
      // The kernel overwrites dy: a part at a time, in memory of its own, since dx may lie where x or y does.
      constexpr int part = 4096 / most_lanes;
      elementwise(
          k, n,
          [&](std::ptrdiff_t at, int rows) {
            T g[part * most_lanes];
            for (int done = 0; done < rows; done += part) {
              const int now = std::min(part, rows - done);
              const std::ptrdiff_t i = at + static_cast<std::ptrdiff_t>(done) * lanes,
                                   count = std::ptrdiff_t{now} * lanes;
              std::copy_n(gradient + i, count, g);
              run(g, input + i, output + i, now);
              std::copy_n(g, count, to + i);
            }
          },
          [&](std::ptrdiff_t at, int rest) {
            T g[most_lanes] = {}, a[most_lanes] = {}, b[most_lanes] = {};
            std::copy_n(gradient + at, rest, g);
            std::copy_n(input + at, rest, a);
            std::copy_n(output + at, rest, b);
            run(g, a, b, 1);
            std::copy_n(g, rest, to + at);
          });
    }
    return outputs.one();
  });
}

py::object output_forward(Output output, const py::object& x_, const py::object& out) {
  const char* name = output_names[static_cast<int>(output)];
  const py::array x = array(name, "x", x_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), units = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, units});
    if (units == 0) refuse(name, "x", "at least one column", "shape " + shape_text(x));
    Outputs outputs(name, out, 1);
    T* to = outputs.add<T>({rows, units}, {&x}, true);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      in_row_blocks(rows, sizeof(T) * static_cast<std::size_t>(units), [&](int first, int count) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first) * units;
        Tensor<T> tensor(k, count, units, from + at);
        const Scratch scratch(sizeof(T) * 2 * static_cast<std::size_t>(k.layout.padded(units)));
        k.output_forward(output, tensor.panel(0), tensor.panel(0), tensor.stride(), units,
                         static_cast<T*>(scratch.data()), 0, count);
        tensor.store(to + at);
      });
    }
    return outputs.one();
  });
}

py::object learned_forward(const std::string& name, const py::object& x_, const py::object& parameter_,
                           const py::object& out) {
  const char* function = "learned_forward";
  const std::size_t index = learned_index(function, name);
  const py::array x = array(function, "x", x_, 2), parameter = array(function, "parameter", parameter_, 1);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(function, "x", x, {rows, features});
    const T* values = dense<T>(function, "parameter", parameter, {features});
    Outputs outputs(function, out, 1);
    T* to = outputs.add<T>({rows, features}, {&x, &parameter}, true);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      const std::vector<T> learned = padded(k.layout, features, values);
      Tensor<T> tensor(k, rows, features, from);
      for (int p = 0; p < k.layout.panels(features); ++p) {
        Columns<T> columns;
        columns.learned = learned.data() + p * k.layout.full();
        k.activations[index].forward[0](tensor.panel(p), tensor.panel(p), rows, tensor.width(p), columns, nullptr);
      }
      tensor.store(to);
    }
    return outputs.one();
  });
}

py::tuple learned_backward(const std::string& name, const py::object& dy_, const py::object& x_,
                           const py::object& parameter_, const py::object& out) {
  const char* function = "learned_backward";
  const std::size_t index = learned_index(function, name);
  const py::array dy = array(function, "dy", dy_, 2), x = array(function, "x", x_, 2),
                  parameter = array(function, "parameter", parameter_, 1);
  return by_type(function, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(dy), features = columns_of(dy);
    const T* gradient = dense<T>(function, "dy", dy, {rows, features});
    const T* from = dense<T>(function, "x", x, {rows, features});
    const T* values = dense<T>(function, "parameter", parameter, {features});
    Outputs outputs(function, out, 2);
    T *to = outputs.add<T>({rows, features}, {&dy, &x, &parameter}, true),
      *to_parameter = outputs.add<T>({features}, {&dy, &x, &parameter});
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      const std::vector<T> learned = padded(k.layout, features, values);
      std::vector<T> sums(learned.size());
      const Tensor<T> input(k, rows, features, from);
      Tensor<T> g(k, rows, features, gradient);
      for (int p = 0; p < k.layout.panels(features); ++p) {
        Columns<T> columns;
        columns.learned = learned.data() + p * k.layout.full();
        columns.dlearned = sums.data() + p * k.layout.full();
        k.activations[index].backward[0](g.panel(p), input.panel(p), nullptr, rows, g.width(p), columns, nullptr,
                                         nullptr, nullptr);
      }
      g.store(to);
      std::copy_n(sums.begin(), features, to_parameter);
    }
    return outputs.all();
  });
}

}  // namespace

void bind_activations(py::module_& m) {
  const py::none none;
  m.def("activation_forward", &activation_forward, py::arg("name"), py::arg("x"), py::kw_only(), py::arg("out") = none);
  m.def("activation_backward", &activation_backward, py::arg("name"), py::arg("dy"), py::arg("x"), py::arg("y"),
        py::kw_only(), py::arg("out") = none);
  m.def("learned_forward", &learned_forward, py::arg("name"), py::arg("x"), py::arg("parameter"), py::kw_only(),
        py::arg("out") = none);
  m.def("learned_backward", &learned_backward, py::arg("name"), py::arg("dy"), py::arg("x"), py::arg("parameter"),
        py::kw_only(), py::arg("out") = none);
  for (const Output output : {Output::softmax, Output::log_softmax, Output::sparsemax})
    m.def(
        output_names[static_cast<int>(output)],
        [output](const py::object& x, const py::object& out) { return output_forward(output, x, out); }, py::arg("x"),
        py::kw_only(), py::arg("out") = none);
}

}  // namespace evenflow
