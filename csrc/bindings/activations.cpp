// Eager activations, outputs and losses.
#include <pybind11/stl.h>

#include <cmath>

#include "bindings/eager.h"
#include "bindings/spec.h"

namespace evenflow {

namespace {

struct Activation {
  std::size_t index;
  double parameters[most_parameters];
};
std::vector<std::string> activation_names(bool learned) {
  const auto& k = kernels<float>();
  std::vector<std::string> names;
  for (int i = 0; i < k.activation_count; ++i)
    if ((k.activations[i].learned != nullptr) == learned) names.emplace_back(k.activations[i].name);
  return names;
}
Activation find_activation(const char* function, const std::string& name, const py::kwargs& given) {
  Activation found{index_of(function, "name", name, activation_names(false)), {}};
  const ActivationKernel<float>& own = kernels<float>().activations[found.index];
  for (int i = 0; i < own.parameter_count; ++i) found.parameters[i] = own.parameters[i].initial;
  for (const auto& [key, value] : given) {
    const int i = parameter_index(own, text(key));
    if (i < 0) refuse_type(function, text(key), parameter_text(own, name), text(py::repr(value)));
    try {
      found.parameters[i] = py::reinterpret_borrow<py::object>(value).cast<double>();
    } catch (const py::cast_error&) {
      refuse_type(function, own.parameters[i].name, "a number", text(py::repr(value)));
    }
    if (!(found.parameters[i] >= own.parameters[i].lowest) || std::isinf(found.parameters[i]))
      refuse(function, own.parameters[i].name,
             own.parameters[i].lowest < 0 ? "a finite number" : "a finite number of at least 0", text(py::repr(value)));
  }
  return found;
}

// Of an activation with a trained parameter, in the table.
std::size_t learned_index(const char* function, const std::string& name) {
  const std::vector<std::string> names = activation_names(true);
  return static_cast<std::size_t>(kernels<float>().activation_count) - names.size() +
         index_of(function, "name", name, names);
}

// Elementwise: the array as rows of one panel, with the rest in a row of its own.
template <class T, class F>
void in_rows(const Kernels<T>& k, std::ptrdiff_t n, F f) {
  const int width = k.layout.lanes;
  for (std::ptrdiff_t done = 0; done < n;) {
    const auto rows = static_cast<int>(std::min<std::ptrdiff_t>((n - done) / width, 1 << 20));
    if (rows == 0) break;
    f(done, rows, width);
    done += static_cast<std::ptrdiff_t>(rows) * width;
  }
}

py::array activation_forward(const std::string& name, const py::object& x_, const py::kwargs& parameters) {
  const char* function = "activation_forward";
  const Activation activation = find_activation(function, name, parameters);
  const py::array x = array(function, "x", x_, -1);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    T* from;
    const std::ptrdiff_t n = whole_size<T>(function, "x", x, &from);
    py::array y = made<T>(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const auto forward = k.activations[activation.index].forward[0];
    in_rows(k, n, [&](std::ptrdiff_t at, int rows, int width) {
      forward(to + at, from + at, rows, width, {}, activation.parameters);
    });
    const std::ptrdiff_t rest = n % k.layout.lanes;
    std::vector<T> edge(static_cast<std::size_t>(k.layout.lanes));
    std::copy_n(from + n - rest, rest, edge.begin());
    forward(edge.data(), edge.data(), 1, k.layout.lanes, {}, activation.parameters);
    std::copy_n(edge.begin(), rest, to + n - rest);
    return y;
  });
}

py::array activation_backward(const std::string& name, const py::object& dy_, const py::object& x_,
                              const py::object& y_, const py::kwargs& parameters) {
  const char* function = "activation_backward";
  const Activation activation = find_activation(function, name, parameters);
  const py::array dy = array(function, "dy", dy_, -1), x = array(function, "x", x_, -1),
                  y = array(function, "y", y_, -1);
  return by_type(function, "dy", dy, [&](auto type) {
    using T = decltype(type);
    const std::vector<py::ssize_t> shape(dy.shape(), dy.shape() + dy.ndim());
    T* gradient;
    const std::ptrdiff_t n = whole_size<T>(function, "dy", dy, &gradient);
    const T *input = dense<T>(function, "x", x, shape), *output = dense<T>(function, "y", y, shape);
    py::array dx = made<T>(shape);
    T* to = data_of<T>(dx);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const auto backward = k.activations[activation.index].backward[0];
    std::copy_n(gradient, n, to);
    in_rows(k, n, [&](std::ptrdiff_t at, int rows, int width) {
      backward(to + at, input + at, output + at, rows, width, {}, nullptr, nullptr, activation.parameters);
    });
    const std::ptrdiff_t rest = n % k.layout.lanes;
    const auto lanes = static_cast<std::size_t>(k.layout.lanes);
    std::vector<T> g(lanes), a(lanes), b(lanes);
    std::copy_n(to + n - rest, rest, g.begin());
    std::copy_n(input + n - rest, rest, a.begin());
    std::copy_n(output + n - rest, rest, b.begin());
    backward(g.data(), a.data(), b.data(), 1, k.layout.lanes, {}, nullptr, nullptr, activation.parameters);
    std::copy_n(g.begin(), rest, to + n - rest);
    return dx;
  });
}

py::array output_forward(Output output, const py::object& x_) {
  const char* name = output_names[static_cast<int>(output)];
  const py::array x = array(name, "x", x_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), units = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, units});
    if (units == 0) refuse(name, "x", "at least one column", "shape " + shape_text(x));
    py::array y = made<T>({rows, units});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    Tensor<T> tensor(k, rows, units, from);
    std::vector<T> scratch(static_cast<std::size_t>(2 * k.layout.padded(units)));
    k.output_forward(output, tensor.panel(0), tensor.panel(0), tensor.stride(), units, scratch.data(), 0, rows);
    tensor.store(to);
    return y;
  });
}

py::array learned_forward(const std::string& name, const py::object& x_, const py::object& parameter_) {
  const char* function = "learned_forward";
  const std::size_t index = learned_index(function, name);
  const py::array x = array(function, "x", x_, 2), parameter = array(function, "parameter", parameter_, 1);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(function, "x", x, {rows, features});
    const T* values = dense<T>(function, "parameter", parameter, {features});
    py::array y = made<T>({rows, features});
    T* to = data_of<T>(y);
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
    return y;
  });
}

py::tuple learned_backward(const std::string& name, const py::object& dy_, const py::object& x_,
                           const py::object& parameter_) {
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
    py::array dx = made<T>({rows, features}), dparameter = made<T>({features});
    T *to = data_of<T>(dx), *to_parameter = data_of<T>(dparameter);
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
    return py::make_tuple(dx, dparameter);
  });
}

py::tuple loss_forward_backward(const std::string& loss, const py::object& prediction_, const py::object& target_,
                                bool from_logits) {
  const char* name = "loss_forward_backward";
  const auto kind = static_cast<Loss>(index_of(name, "name", loss, loss_names()));
  const py::array prediction = array(name, "prediction", prediction_, 2), target = array(name, "target", target_, -1);
  return by_type(name, "prediction", prediction, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(prediction), units = columns_of(prediction);
    const T* from = dense<T>(name, "prediction", prediction, {rows, units});
    if (rows == 0 || units == 0)
      refuse(name, "prediction", "at least one row and column", "shape " + shape_text(prediction));
    const bool sparse = kind == Loss::sparse_categorical_crossentropy;
    const Feed feed = feed_of(name, "target", target, sparse ? 1 : units, sparse);
    if (feed.rows != rows)
      refuse(name, "target", std::to_string(rows) + " rows, as prediction has", "shape " + shape_text(target));
    const auto& k = kernels<T>();
    const int width = k.layout.padded(units);
    std::vector<std::int64_t> labels(static_cast<std::size_t>(sparse ? rows : 0));
    std::vector<T> targets(static_cast<std::size_t>(sparse ? 0 : rows) * static_cast<std::size_t>(width));
    for (int row = 0; row < rows; ++row) {
      if (!sparse) {
        convert_row(targets.data() + static_cast<std::ptrdiff_t>(row) * width, feed, feed.row(row), 0, units);
        continue;
      }
      std::int64_t& label = labels[static_cast<std::size_t>(row)];
      convert_row(&label, feed, feed.row(row), 0, 1);
      if (label < 0 || label >= units)
        refuse(name, "target", "labels from 0 to " + std::to_string(units - 1),
               std::to_string(label) + " in row " + std::to_string(row));
    }
    py::array value = made<T>({rows}), gradient = made<T>({rows, units});
    T *to_value = data_of<T>(value), *to_gradient = data_of<T>(gradient);
    {
      py::gil_scoped_release nogil;
      Tensor<T> z(k, rows, units, from), dz(k, rows, units);
      std::vector<T> scratch(static_cast<std::size_t>(3 * width));
      std::vector<double> losses(static_cast<std::size_t>(rows));
      LossRows<T> in{};
      in.loss = kind;
      in.output = Output::plain;
      in.from_logits = from_logits && kind != Loss::mean_squared_error;
      in.units = units;
      in.z = z.panel(0);
      in.dz = dz.panel(0);
      in.stride = z.stride();
      in.gradient_scale = 1.0 / rows;
      in.labels = sparse ? labels.data() : nullptr;
      in.targets = sparse ? nullptr : targets.data();
      in.losses = losses.data();
      k.loss(in, scratch.data(), 0, rows);
      dz.store(to_gradient);
      for (int row = 0; row < rows; ++row) to_value[row] = static_cast<T>(losses[static_cast<std::size_t>(row)]);
    }
    return py::make_tuple(value, gradient);
  });
}

}  // namespace

void bind_activations(py::module_& m) {
  m.def("activation_forward", &activation_forward, py::arg("name"), py::arg("x"));
  m.def("activation_backward", &activation_backward, py::arg("name"), py::arg("dy"), py::arg("x"), py::arg("y"));
  m.def("learned_forward", &learned_forward, py::arg("name"), py::arg("x"), py::arg("parameter"));
  m.def("learned_backward", &learned_backward, py::arg("name"), py::arg("dy"), py::arg("x"), py::arg("parameter"));
  m.def("softmax", [](const py::object& x) { return output_forward(Output::softmax, x); }, py::arg("x"));
  m.def("log_softmax", [](const py::object& x) { return output_forward(Output::log_softmax, x); }, py::arg("x"));
  m.def("sparsemax", [](const py::object& x) { return output_forward(Output::sparsemax, x); }, py::arg("x"));
  m.def("loss_forward_backward", &loss_forward_backward, py::arg("name"), py::arg("prediction"), py::arg("target"),
        py::kw_only(), py::arg("from_logits") = false);
}

}  // namespace evenflow
