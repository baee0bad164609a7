// Eager random layers, and the words they are made of.
#include "bindings/noise.h"

#include <pybind11/stl.h>

#include <cmath>

#include "bindings/dense.h"

namespace evenflow {

namespace {

py::object random_words(const std::vector<py::object>& counter, const py::object& key_, std::int64_t rows,
                        const py::object& out) {
  const char* function = "random_words";
  if (counter.size() != 4) refuse(function, "counter", "4 words", std::to_string(counter.size()));
  std::uint32_t word[4];
  for (std::size_t i = 0; i < 4; ++i)
    word[i] = static_cast<std::uint32_t>(natural(function, "counter", counter[i], 0xffffffffu));
  const std::uint64_t key = natural(function, "key", key_, ~std::uint64_t{0});
  if (rows < 0 || rows > (1 << 26)) refuse(function, "rows", "0 to 2^26", std::to_string(rows));
  Outputs outputs(function, out, 1);
  auto* to = outputs.add<std::uint32_t>({static_cast<py::ssize_t>(rows), 4});
  {
    py::gil_scoped_release nogil;
    kernels<float>().random_words(to, key, {word[0], word[1], word[2], word[3]}, static_cast<int>(rows));
  }
  return outputs.one();
}

struct Place {
  Noise noise;
  Draw draw;
  bool grouped = false;

  Place(const char* function, const std::string& name, const py::object& seed, const py::object& step,
        const py::object& layer, const py::object& row, const py::object& groups, bool one_row,
        const py::dict& parameters)
      : noise(noise_of(function, name, parameters, seed)),
        draw{noise.seed,
             natural(function, "step", step, Counter::steps - 1),
             static_cast<std::uint32_t>(natural(function, "layer", layer, Counter::layers - 1)),
             static_cast<std::uint32_t>(natural(function, "row", row, 0xffffffffu)),
             0,
             nullptr,
             one_row} {
    grouped = !groups.is_none();
    if (grouped && !py::isinstance<py::sequence>(groups))
      refuse_type(function, "groups", "a list with a number for each feature", text(py::repr(groups)));
    if (grouped)
      for (const auto& group : groups.cast<py::sequence>())
        noise.groups.push_back(static_cast<std::uint32_t>(
            natural(function, "groups", py::reinterpret_borrow<py::object>(group), 0xffffffffu)));
    if ((one_row || grouped) && !shares_numbers(noise))
      refuse(function, grouped ? "groups" : "one_row", "a layer that draws 16 bits, such as dropout", name);
  }
  void check(const char* function, int features, int padded) {
    if (!grouped) return;
    if (noise.groups.size() != static_cast<std::size_t>(features))
      refuse(function, "groups", std::to_string(features) + " numbers, one for each feature",
             std::to_string(noise.groups.size()));
    noise.groups.resize(static_cast<std::size_t>(padded));
  }
  Draw of_panel(int first) const {
    Draw own = draw;
    own.feature = static_cast<std::uint32_t>(first);
    if (!noise.groups.empty()) own.groups = noise.groups.data() + first;
    return own;
  }
};

// Panels of arrays on a team: pack(panel, memory) for each array, run(panel, memories), and back into `to`.
template <class T, class Run>
void each_noise_panel(const Kernels<T>& k, int rows, int features, const T* first, const T* second, T* to, Run run) {
  const std::size_t panel = static_cast<std::size_t>(std::max(rows, 1)) * static_cast<std::size_t>(k.layout.full());
  const int wanted = eager_threads(static_cast<double>(sizeof(T)) * rows * features * nanoseconds_of_byte * 2);
  const Scratch scratch(sizeof(T) * 2 * panel * static_cast<std::size_t>(wanted));
  team::run(wanted, [&](int thread, int threads) {
    T* a = static_cast<T*>(scratch.data()) + 2 * panel * static_cast<std::size_t>(thread);
    T* b = a + panel;
    const Share own(k.layout.panels(features), thread, threads);
    for (int p = own.first; p < own.end; ++p) {
      const std::ptrdiff_t stride = Matrix<T>{first, rows, features}.of_columns(k, a, p, p + 1).stride;
      if (second != nullptr) Matrix<T>{second, rows, features}.of_columns(k, b, p, p + 1);
      run(p, a, b, k.layout.width(features, p));
      store_rows(k, to, features, a, stride, p, p + 1, 0, rows);
    }
  });
}

py::object noise_forward(const std::string& name, const py::object& x_, const py::object& seed, const py::object& step,
                         const py::object& layer, const py::object& row, const py::object& groups, bool one_row,
                         const py::object& out, const py::kwargs& parameters) {
  const char* function = "noise_forward";
  Place place(function, name, seed, step, layer, row, groups, one_row, parameters);
  const py::array x = array(function, "x", x_, 2);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    place.check(function, features, kernels<T>().layout.padded(features));
    const T* from = dense<T>(function, "x", x, {rows, features});
    Outputs outputs(function, out, 1);
    T* to = outputs.add<T>({rows, features}, {&x}, true);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      each_noise_panel<T>(k, rows, features, from, nullptr, to, [&](int p, T* y, T*, int width) {
        k.noises[place.noise.kind].forward(y, y, rows, width, place.of_panel(p * k.layout.full()),
                                           place.noise.parameters);
      });
    }
    return outputs.one();
  });
}

py::object noise_backward(const std::string& name, const py::object& dy_, const py::object& y_, const py::object& seed,
                          const py::object& step, const py::object& layer, const py::object& row,
                          const py::object& groups, bool one_row, const py::object& out, const py::kwargs& parameters) {
  const char* function = "noise_backward";
  Place place(function, name, seed, step, layer, row, groups, one_row, parameters);
  const py::array dy = array(function, "dy", dy_, 2), y = array(function, "y", y_, 2);
  return by_type(function, "dy", dy, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(dy), features = columns_of(dy);
    place.check(function, features, kernels<T>().layout.padded(features));
    const T* gradient = dense<T>(function, "dy", dy, {rows, features});
    const T* output = dense<T>(function, "y", y, {rows, features});
    Outputs outputs(function, out, 1);
    T* to = outputs.add<T>({rows, features}, {&dy, &y}, true);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      each_noise_panel<T>(k, rows, features, gradient, output, to, [&](int p, T* dx, T* value, int width) {
        k.noises[place.noise.kind].backward(dx, value, rows, width, place.of_panel(p * k.layout.full()),
                                            place.noise.parameters);
      });
    }
    return outputs.one();
  });
}

}  // namespace

void bind_noise(py::module_& m) {
  const py::int_ zero(0);
  m.def("random_words", &random_words, py::arg("counter"), py::arg("key"), py::arg("rows") = 1, py::kw_only(),
        py::arg("out") = py::none());
  m.def("noise_forward", &noise_forward, py::arg("name"), py::arg("x"), py::kw_only(), py::arg("seed"),
        py::arg("step") = zero, py::arg("layer") = zero, py::arg("row") = zero, py::arg("groups") = py::none(),
        py::arg("one_row") = false, py::arg("out") = py::none());
  m.def("noise_backward", &noise_backward, py::arg("name"), py::arg("dy"), py::arg("y"), py::kw_only(), py::arg("seed"),
        py::arg("step") = zero, py::arg("layer") = zero, py::arg("row") = zero, py::arg("groups") = py::none(),
        py::arg("one_row") = false, py::arg("out") = py::none());
}

}  // namespace evenflow
