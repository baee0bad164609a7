// Table of contents of evenflow._core, and what it says of itself.
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>

#include "bindings/arrays.h"
#include "kernels/kernels.h"
#include "program/team.h"

namespace evenflow {

void bind_program(py::module_& m);
void bind_layers(py::module_& m);
void bind_activations(py::module_& m);
void bind_updates(py::module_& m);
void bind_noise(py::module_& m);
void bind_measure(py::module_& m);

namespace {

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const char* const* name = isas(); *name != nullptr; ++name) names.emplace_back(*name);
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

py::dict build_info() {
  py::dict info;
  info["version"] = EVENFLOW_VERSION;
  info["compiler"] = std::string("g++ ") + __VERSION__;
  info["flags"] = EVENFLOW_FLAGS;
#if defined(EVENFLOW_OPENMP)
  info["openmp"] = _OPENMP;
#else
  info["openmp"] = py::none();
#endif
  info["caches"] =
      py::dict(py::arg("l1d") = sysconf(_SC_LEVEL1_DCACHE_SIZE), py::arg("l2") = sysconf(_SC_LEVEL2_CACHE_SIZE),
               py::arg("l3") = sysconf(_SC_LEVEL3_CACHE_SIZE));
  return info;
}

template <class S>
std::int64_t first_nonfinite(const Feed& x) {
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const char* from = x.row(row);
    bool finite = true;
    for (int c = 0; c < x.columns; ++c) finite &= std::isfinite(read<S>(from + c * x.column_stride));
    if (finite) continue;
    for (int c = 0; c < x.columns; ++c)
      if (!std::isfinite(read<S>(from + c * x.column_stride))) return row * x.columns + c;
  }
  return -1;
}

py::object find_nonfinite(const py::array& x) {
  if (x.ndim() != 2) refuse("find_nonfinite", "x", "a 2-D array", "shape " + shape_text(x));
  if (x.shape(1) > std::numeric_limits<int>::max() || x.shape(1) == 0) return py::none();
  const Feed feed = feed_of("find_nonfinite", "x", x, static_cast<int>(x.shape(1)), false);
  std::int64_t at = -1;
  {
    py::gil_scoped_release nogil;
    if (feed.element == Element::f32) at = first_nonfinite<float>(feed);
    if (feed.element == Element::f64) at = first_nonfinite<double>(feed);
  }
  if (at < 0) return py::none();
  return py::make_tuple(at / feed.columns, at % feed.columns);
}

py::dict activation_names() {
  py::dict all;
  const auto& k = kernels<float>();
  for (int i = 0; i < k.activation_count; ++i) {
    py::dict parameters;
    if (k.activations[i].parameter_name != nullptr)
      parameters[k.activations[i].parameter_name] = k.activations[i].parameter;
    all[k.activations[i].name] = parameters;
  }
  return all;
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The native core of evenflow.";
  m.attr("__version__") = EVENFLOW_VERSION;
  if (const char* wish = rejected_isa())
    throw py::value_error("EVENFLOW_ISA: expected one of " + joined(isa_names()) + ", received '" + wish + "'");
  team::forked();
  team::limit();
  m.def("isas", &isa_names);
  m.def("isa", [] { return std::string(isa()); });
  m.def(
      "use_isa",
      [](const std::string& name) {
        if (!use_isa(name.c_str())) refuse("use_isa", "name", "one of " + joined(isa_names()), "'" + name + "'");
      },
      py::arg("name"));
  m.def("num_threads", &team::limit);
  m.def(
      "set_num_threads",
      [](int threads) {
        if (threads < 0 || threads > 4096) refuse("set_num_threads", "threads", "0 to 4096", std::to_string(threads));
        team::set_limit(threads);
      },
      py::arg("threads"));
  m.def("build_info", &build_info);
  m.def("find_nonfinite", &find_nonfinite, py::arg("x"));
  m.def("activations", &activation_names);
  bind_program(m);
  bind_layers(m);
  bind_activations(m);
  bind_updates(m);
  bind_noise(m);
  bind_measure(m);
}

}  // namespace evenflow
