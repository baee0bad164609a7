// Eager random layers, and the words they are made of.
#include "bindings/noise.h"

#include <pybind11/stl.h>

#include <cmath>

#include "bindings/eager.h"

namespace evenflow {

namespace {

py::array random_words(const std::vector<py::object>& counter, const py::object& key_, std::int64_t rows) {
  const char* function = "random_words";
  if (counter.size() != 4) refuse(function, "counter", "4 words", std::to_string(counter.size()));
  std::uint32_t word[4];
  for (std::size_t i = 0; i < 4; ++i)
    word[i] = static_cast<std::uint32_t>(natural(function, "counter", counter[i], 0xffffffffu));
  const std::uint64_t key = natural(function, "key", key_, ~std::uint64_t{0});
  if (rows < 0 || rows > (1 << 26)) refuse(function, "rows", "0 to 2^26", std::to_string(rows));
  py::array_t<std::uint32_t> out({rows, std::int64_t{4}});
  std::uint32_t* to = out.mutable_data();
  py::gil_scoped_release nogil;
  kernels<float>().random_words(to, key, {word[0], word[1], word[2], word[3]}, static_cast<int>(rows));
  return std::move(out);
}

struct Place {
  const Noise noise;
  Draw draw;

  Place(const char* function, const std::string& name, const py::object& seed, const py::object& step,
        const py::object& layer, const py::object& row, const py::dict& parameters)
      : noise(noise_of(function, name, parameters, seed)),
        draw{noise.seed, natural(function, "step", step, Counter::steps - 1),
             static_cast<std::uint32_t>(natural(function, "layer", layer, Counter::layers - 1)),
             static_cast<std::uint32_t>(natural(function, "row", row, 0xffffffffu)), 0} {}
  Draw of_panel(int first) const {
    Draw own = draw;
    own.feature = static_cast<std::uint32_t>(first);
    return own;
  }
};

py::array noise_forward(const std::string& name, const py::object& x_, const py::object& seed, const py::object& step,
                        const py::object& layer, const py::object& row, const py::kwargs& parameters) {
  const char* function = "noise_forward";
  const Place place(function, name, seed, step, layer, row, parameters);
  const py::array x = array(function, "x", x_, 2);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(function, "x", x, {rows, features});
    py::array y = made<T>({rows, features});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    Tensor<T> tensor(k, rows, features, from);
    for (int p = 0; p < k.layout.panels(features); ++p)
      k.noises[place.noise.kind].forward(tensor.panel(p), tensor.panel(p), rows, tensor.width(p),
                                         place.of_panel(p * k.layout.full()), place.noise.parameters);
    tensor.store(to);
    return y;
  });
}

py::array noise_backward(const std::string& name, const py::object& dy_, const py::object& y_, const py::object& seed,
                         const py::object& step, const py::object& layer, const py::object& row,
                         const py::kwargs& parameters) {
  const char* function = "noise_backward";
  const Place place(function, name, seed, step, layer, row, parameters);
  const py::array dy = array(function, "dy", dy_, 2), y = array(function, "y", y_, 2);
  return by_type(function, "dy", dy, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(dy), features = columns_of(dy);
    const T* gradient = dense<T>(function, "dy", dy, {rows, features});
    const T* output = dense<T>(function, "y", y, {rows, features});
    py::array dx = made<T>({rows, features});
    T* to = data_of<T>(dx);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    Tensor<T> dz(k, rows, features, gradient);
    const Tensor<T> value(k, rows, features, output);
    for (int p = 0; p < k.layout.panels(features); ++p)
      k.noises[place.noise.kind].backward(dz.panel(p), value.panel(p), rows, dz.width(p),
                                          place.of_panel(p * k.layout.full()), place.noise.parameters);
    dz.store(to);
    return dx;
  });
}

}  // namespace

void bind_noise(py::module_& m) {
  const py::int_ zero(0);
  m.def("random_words", &random_words, py::arg("counter"), py::arg("key"), py::arg("rows") = 1);
  m.def("noise_forward", &noise_forward, py::arg("name"), py::arg("x"), py::kw_only(), py::arg("seed"),
        py::arg("step") = zero, py::arg("layer") = zero, py::arg("row") = zero);
  m.def("noise_backward", &noise_backward, py::arg("name"), py::arg("dy"), py::arg("y"), py::kw_only(), py::arg("seed"),
        py::arg("step") = zero, py::arg("layer") = zero, py::arg("row") = zero);
}

}  // namespace evenflow
