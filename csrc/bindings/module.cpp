// Table of contents of evenflow._core, and what it says of itself.
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>

#include "bindings/arrays.h"
#include "kernels/kernels.h"
#include "program/team.h"

namespace evenflow {

void bind_program(py::module_& m);
void bind_health(py::module_& m);
void bind_dense(py::module_& m);
void bind_batch_normalization(py::module_& m);
void bind_embedding(py::module_& m);
void bind_row_normalization(py::module_& m);
void bind_activations(py::module_& m);
void bind_losses(py::module_& m);
void bind_updates(py::module_& m);
void bind_penalties(py::module_& m);
void bind_noise(py::module_& m);
void bind_measure(py::module_& m);
void bind_metrics(py::module_& m);
void bind_xla(py::module_& m);

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
std::int64_t first_beyond(const Feed& x, S limit) {
  const auto within = [&](const char* row, int c) { return std::abs(read<S>(row + c * x.column_stride)) <= limit; };
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const char* from = x.row(row);
    bool all = true;
    for (int c = 0; c < x.columns; ++c) all &= within(from, c);
    if (all) continue;
    for (int c = 0; c < x.columns; ++c)
      if (!within(from, c)) return row * x.columns + c;
  }
  return -1;
}

// Row and column of the first number that a model of this dtype cannot hold, NaN and infinity among them.
py::object find_nonfinite(const py::array& x, const std::string& dtype) {
  if (x.ndim() != 2) refuse("find_nonfinite", "x", "a 2-D array", "shape " + shape_text(x));
  if (dtype != "float32" && dtype != "float64")
    refuse("find_nonfinite", "dtype", "'float32' or 'float64'", "'" + dtype + "'");
  if (x.shape(1) > std::numeric_limits<int>::max() || x.shape(1) == 0) return py::none();
  const Feed feed = feed_of("find_nonfinite", "x", x, static_cast<int>(x.shape(1)), false);
  const double most = dtype == "float32" ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  std::int64_t at = -1;
  {
    py::gil_scoped_release nogil;
    if (feed.element == Element::f32) at = first_beyond(feed, std::numeric_limits<float>::max());
    if (feed.element == Element::f64) at = first_beyond(feed, most);
  }
  if (at < 0) return py::none();
  return py::make_tuple(at / feed.columns, at % feed.columns);
}

py::dict activation_names() {
  py::dict all;
  const auto& k = kernels<float>();
  for (int i = 0; i < k.activation_count; ++i) {
    const auto& activation = k.activations[i];
    if (activation.learned != nullptr) continue;
    py::dict parameters;
    for (int j = 0; j < activation.parameter_count; ++j)
      parameters[activation.parameters[j].name] = activation.parameters[j].initial;
    all[activation.name] = parameters;
  }
  return all;
}

py::dict learned_activation_names() {
  py::dict all;
  const auto& k = kernels<float>();
  for (int i = 0; i < k.activation_count; ++i)
    if (const auto& activation = k.activations[i]; activation.learned != nullptr)
      all[activation.name] = py::make_tuple(activation.learned, activation.learned_initial);
  return all;
}

}  // namespace

// Without py::mod_gil_not_used(): no test has run on a free-threaded Python, which therefore keeps its lock.
PYBIND11_MODULE(_core, m) {
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
  m.def("find_nonfinite", &find_nonfinite, py::arg("x"), py::arg("dtype") = "float64");
  m.def("activations", &activation_names);
  m.def("learned_activations", &learned_activation_names);
  bind_program(m);
  bind_health(m);
  bind_dense(m);
  bind_batch_normalization(m);
  bind_embedding(m);
  bind_row_normalization(m);
  bind_activations(m);
  bind_losses(m);
  bind_updates(m);
  bind_penalties(m);
  bind_noise(m);
  bind_measure(m);
  bind_metrics(m);
  bind_xla(m);
}

}  // namespace evenflow
