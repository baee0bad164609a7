// Eager update rules and clipping, in place.
#include <pybind11/stl.h>

#include <cmath>

#include "bindings/eager.h"

namespace evenflow {

namespace {

// Arrays of an update: same shape and type, writable where written, none overlapping another.
template <class T>
std::vector<T*> update_arrays(const char* function, const std::vector<std::pair<const char*, py::array>>& arrays) {
  std::vector<T*> pointers;
  const py::array& p = arrays[0].second;
  const std::vector<py::ssize_t> shape(p.shape(), p.shape() + p.ndim());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    pointers.push_back(dense<T>(function, arrays[i].first, arrays[i].second, shape, i != 1));
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(arrays[i].second, arrays[j].second))
        refuse(function, arrays[i].first, "memory of its own",
               std::string("memory shared with '") + arrays[j].first + "'");
  }
  return pointers;
}
void check_finite(const char* function, const char* name, double value, double lowest, double highest) {
  if (!(value >= lowest && value <= highest))
    refuse(function, name, "a number from " + std::to_string(lowest) + " to " + std::to_string(highest),
           std::to_string(value));
}

void sgd_step(const py::object& p_, const py::object& g_, const py::object& m_, double learning_rate, double momentum,
              bool nesterov) {
  const char* name = "sgd_step";
  check_finite(name, "learning_rate", learning_rate, -1e300, 1e300);
  check_finite(name, "momentum", momentum, 0, 1);
  if (momentum != 0 && m_.is_none()) refuse_type(name, "m", "an array, since momentum is not 0", "None");
  std::vector<std::pair<const char*, py::array>> arrays{{"p", array(name, "p", p_, -1)},
                                                        {"g", array(name, "g", g_, -1)}};
  if (!m_.is_none()) arrays.emplace_back("m", array(name, "m", m_, -1));
  by_type(name, "p", arrays[0].second, [&](auto type) {
    using T = decltype(type);
    const auto at = update_arrays<T>(name, arrays);
    const std::ptrdiff_t n = arrays[0].second.size();
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    if (momentum == 0) return k.sgd({learning_rate}, {}, at[0], at[1], nullptr, n);
    T* slots[1] = {at[2]};
    if (nesterov)
      k.nesterov({momentum, -learning_rate, 1}, {}, at[0], at[1], slots, n);
    else
      k.momentum({momentum, -learning_rate, 1}, {}, at[0], at[1], slots, n);
  });
}

void adam(const py::object& p_, const py::object& g_, const py::object& m_, const py::object& v_, std::int64_t step,
          double learning_rate, double beta_1, double beta_2, double epsilon) {
  const char* name = "adam_step";
  if (step < 1) refuse(name, "step", "1 or more", std::to_string(step));
  check_finite(name, "learning_rate", learning_rate, -1e300, 1e300);
  check_finite(name, "beta_1", beta_1, 0, 1 - 1e-15);
  check_finite(name, "beta_2", beta_2, 0, 1 - 1e-15);
  check_finite(name, "epsilon", epsilon, 1e-300, 1e300);
  const std::vector<std::pair<const char*, py::array>> arrays{{"p", array(name, "p", p_, -1)},
                                                              {"g", array(name, "g", g_, -1)},
                                                              {"m", array(name, "m", m_, -1)},
                                                              {"v", array(name, "v", v_, -1)}};
  by_type(name, "p", arrays[0].second, [&](auto type) {
    using T = decltype(type);
    const auto at = update_arrays<T>(name, arrays);
    const std::ptrdiff_t n = arrays[0].second.size();
    py::gil_scoped_release nogil;
    T* slots[2] = {at[2], at[3]};
    const double size = adam_step(learning_rate, beta_1, beta_2, static_cast<double>(step));
    kernels<T>().adam({beta_1, beta_2, epsilon, size}, {}, at[0], at[1], slots, n);
  });
}

// The square sum of one array, in a program's order: panel after panel of a matrix, or of a vector.
template <class T>
double square_sum(const char* function, const py::array& g) {
  const T* from = dense<T>(function, "g", g, std::vector<py::ssize_t>(g.shape(), g.shape() + g.ndim()), true);
  const auto& k = kernels<T>();
  const int features = g.ndim() == 0 ? 1 : static_cast<int>(g.shape(g.ndim() - 1));
  if (g.size() == 0) return 0;
  const Tensor<T> panels(k, static_cast<int>(g.size() / features), features, from);
  double total = 0;
  for (int p = 0; p < k.layout.panels(features); ++p)
    total += k.square_sum(panels.panel(p), static_cast<std::ptrdiff_t>(panels.rows) * panels.width(p));
  return total;
}

void clip(const char* function, const py::array& g, Clip how) {
  by_type(function, "g", g, [&](auto type) {
    using T = decltype(type);
    T* data;
    const std::ptrdiff_t n = whole_size<T>(function, "g", g, &data, true);
    if (how.active()) kernels<T>().clip(data, n, how);
  });
}
void check_limit(const char* function, double limit) {
  if (!(limit > 0)) refuse(function, "limit", "a number above 0", std::to_string(limit));
}

void clip_by_value(const py::object& g_, double limit) {
  const char* name = "clip_by_value";
  check_limit(name, limit);
  clip(name, array(name, "g", g_, -1), {1, limit});
}

double clip_all(const char* name, const std::vector<py::array>& gs, double limit) {
  check_limit(name, limit);
  double total = 0;
  for (std::size_t i = 0; i < gs.size(); ++i) {
    total += by_type(name, "g", gs[i], [&](auto type) { return square_sum<decltype(type)>(name, gs[i]); });
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(gs[i], gs[j])) refuse(name, "gs", "arrays that share no memory", "overlapping arrays");
  }
  const double norm = std::sqrt(total);
  Clip how;
  how.scale = norm <= limit ? 1 : limit / norm;
  for (const auto& g : gs) clip(name, g, how);
  return norm;
}
double clip_by_norm(const py::object& g_, double limit) {
  const char* name = "clip_by_norm";
  return clip_all(name, {array(name, "g", g_, -1)}, limit);
}
double clip_by_global_norm(const py::sequence& gs, double limit) {
  const char* name = "clip_by_global_norm";
  std::vector<py::array> all;
  for (const auto& g : gs) all.push_back(array(name, "gs", py::reinterpret_borrow<py::object>(g), -1));
  return clip_all(name, all, limit);
}

}  // namespace

void bind_updates(py::module_& m) {
  m.def("sgd_step", &sgd_step, py::arg("p"), py::arg("g"), py::arg("m"), py::kw_only(), py::arg("learning_rate"),
        py::arg("momentum") = 0.0, py::arg("nesterov") = false);
  m.def("adam_step", &adam, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::kw_only(), py::arg("step"),
        py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"));
  m.def("clip_by_value", &clip_by_value, py::arg("g"), py::arg("limit"));
  m.def("clip_by_norm", &clip_by_norm, py::arg("g"), py::arg("limit"));
  m.def("clip_by_global_norm", &clip_by_global_norm, py::arg("gs"), py::arg("limit"));
}

}  // namespace evenflow
