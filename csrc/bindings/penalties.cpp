// Eager regularizers and constraints.
#include <pybind11/stl.h>

#include "bindings/dense.h"
#include "bindings/eager.h"
#include "bindings/names.h"
#include "bindings/scratch.h"
#include "program/orthogonality.h"

namespace evenflow {

namespace {

double penalize(const py::object& p_, const py::object& g_, double l1, double l2) {
  const char* name = "penalize";
  check_range(name, "l1", l1, nonnegative);
  check_range(name, "l2", l2, nonnegative);
  const py::array p = array(name, "p", p_, -1);
  const py::object own = g_.is_none() ? py::object() : array(name, "g", g_, -1);
  return by_type(name, "p", p, [&](auto type) {
    using T = decltype(type);
    T *from, *onto = nullptr;
    const std::ptrdiff_t n = whole_size<T>(name, "p", p, &from);
    if (const auto g = py::reinterpret_borrow<py::array>(own); g) {
      onto = dense<T>(name, "g", g, std::vector<py::ssize_t>(p.shape(), p.shape() + p.ndim()), true);
      if (overlap(p, g)) refuse(name, "g", "memory of its own", "memory shared with 'p'");
    }
    py::gil_scoped_release nogil;
    return kernels<T>().penalize(onto, from, n, {l1, l2});
  });
}

double penalize_pairs(const py::object& w_, const py::object& g_, double factor, const std::string& mode) {
  const char* name = "penalize_pairs";
  check_range(name, "factor", factor, nonnegative);
  const bool by_rows = index_of(name, "mode", mode, {"rows", "columns"}) == 0;
  const py::array w = array(name, "w", w_, 2);
  const py::object own = g_.is_none() ? py::object() : array(name, "g", g_, 2);
  return by_type(name, "w", w, [&](auto type) {
    using T = decltype(type);
    const int inputs = rows_of(w), units = columns_of(w);
    const T* from = dense<T>(name, "w", w, {inputs, units});
    T* onto = nullptr;
    if (const auto g = py::reinterpret_borrow<py::array>(own); g) {
      onto = dense<T>(name, "g", g, {inputs, units}, true);
      if (overlap(w, g)) refuse(name, "g", "memory of its own", "memory shared with 'w'");
    }
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const Layout& layout = k.layout;
    const int count = by_rows ? inputs : units, length = by_rows ? units : inputs;
    const auto size = [&](int columns, int rows) {
      return static_cast<std::size_t>(layout.padded(columns)) * static_cast<std::size_t>(rows);
    };
    const std::size_t sizes[] = {size(units, inputs), size(count, layout.padded(length)),
                                 size(count, 1),      size(count, count),
                                 size(count, length), by_rows ? size(units, layout.padded(inputs)) : 0,
                                 size(units, 1)};
    std::size_t all = 0;
    for (std::size_t one : sizes) all += one;
    const Scratch scratch(sizeof(T) * all);
    T* parts[7];
    T* next = static_cast<T*>(scratch.data());
    for (std::size_t i = 0; i < 7; ++i) {
      parts[i] = next;
      next += sizes[i];
    }
    std::vector<double> sums(static_cast<std::size_t>(layout.panels(count)));
    Matrix<T>{from, inputs, units}.of_columns(k, parts[0], 0, layout.panels(units));
    const Orthogonality<T> of{k,
                              inputs,
                              units,
                              {factor, by_rows},
                              parts[1],
                              parts[2],
                              parts[3],
                              parts[4],
                              by_rows ? parts[5] : parts[4],
                              sums.data()};
    const auto every_panel = [&](int features, auto visit) {
      for (int panel = 0; panel < layout.panels(features); ++panel) visit(panel, layout.width(features, panel));
    };
    of.run(parts[0], onto != nullptr, every_panel, [] {});
    if (onto != nullptr)
      for (std::ptrdiff_t row = 0; row < inputs; ++row) {
        k.collect(parts[6], of.gradient, of.gradient_stride(), static_cast<int>(row), units);
        for (int unit = 0; unit < units; ++unit) onto[row * units + unit] += parts[6][unit];
      }
    double total = 0;
    for (double sum : sums) total += sum;
    return total;
  });
}

// f(table, data, n) on an array that is changed in place.
template <class F>
void in_place(const char* function, const py::object& given, F f, const char* name = "p") {
  const py::array p = array(function, name, given, -1);
  by_type(function, name, p, [&](auto type) {
    using T = decltype(type);
    T* data;
    const std::ptrdiff_t n = whole_size<T>(function, name, p, &data, true);
    py::gil_scoped_release nogil;
    f(kernels<T>(), data, n);
  });
}

void soft_threshold(const py::object& p, double threshold) {
  check_range("soft_threshold", "threshold", threshold, nonnegative);
  in_place("soft_threshold", p,
           [&](const auto& k, auto* data, std::ptrdiff_t n) { k.soft_threshold(data, n, threshold); });
}
void keep_nonnegative(const py::object& p) {
  in_place("keep_nonnegative", p, [](const auto& k, auto* data, std::ptrdiff_t n) { k.keep_nonnegative(data, n); });
}

// Which axes of an array of so many are meant, as flags.
std::vector<bool> axes_of(const char* function, const py::object& given, int rank) {
  const std::string expected = rank == 1 ? "0, the only axis of a vector" : "0, 1, or both in a list";
  py::list listed;
  if (py::isinstance<py::sequence>(given) && !py::isinstance<py::str>(given))
    for (const auto& one : given) listed.append(one);
  else
    listed.append(given);
  std::vector<bool> found(static_cast<std::size_t>(rank));
  for (const auto& one : listed) {
    if (!py::isinstance<py::int_>(one) || py::isinstance<py::bool_>(one))
      refuse_type(function, "axis", expected, text(py::repr(given)));
    const auto axis = one.cast<std::int64_t>();
    const auto counted = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
    if (axis < -rank || axis >= rank || found[counted]) refuse(function, "axis", expected, text(py::repr(given)));
    found[counted] = true;
  }
  if (listed.empty()) refuse(function, "axis", expected, "none");
  return found;
}

void limit_norms(const py::object& w_, double min_value, double max_value, double rate, const py::object& axis) {
  const char* name = "limit_norms";
  check_range(name, "min_value", min_value, nonnegative);
  check_range(name, "max_value", max_value, {min_value, nonnegative.highest});
  check_range(name, "rate", rate, {0, 1});
  const py::array w = array(name, "w", w_, -1);
  const NormLimits limits{min_value, max_value, rate};
  if (w.ndim() != 1 && w.ndim() != 2)
    refuse(name, "w", "a kernel [inputs, units] or a vector", "shape " + shape_text(w));
  const std::vector<bool> over = axes_of(name, axis, static_cast<int>(w.ndim()));
  if (w.ndim() == 1 || (over[0] && over[1])) {
    in_place(name, w_, [&](const auto& k, auto* data, std::ptrdiff_t n) { k.limit_norm(data, n, limits); }, "w");
    return;
  }
  by_type(name, "w", w, [&](auto type) {
    using T = decltype(type);
    T* data;
    whole_size<T>(name, "w", w, &data, true);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const int rows = rows_of(w), columns = columns_of(w);
    if (over[0]) return k.limit_norms(data, rows, columns, limits);
    for (std::ptrdiff_t row = 0; row < rows; ++row) k.limit_norm(data + row * columns, columns, limits);
  });
}

}  // namespace

void bind_penalties(py::module_& m) {
  m.def("penalize", &penalize, py::arg("p"), py::arg("g") = py::none(), py::kw_only(), py::arg("l1") = 0.0,
        py::arg("l2") = 0.0);
  m.def("penalize_pairs", &penalize_pairs, py::arg("w"), py::arg("g") = py::none(), py::kw_only(), py::arg("factor"),
        py::arg("mode") = "rows");
  m.def("soft_threshold", &soft_threshold, py::arg("p"), py::arg("threshold"));
  m.def("keep_nonnegative", &keep_nonnegative, py::arg("p"));
  m.def("limit_norms", &limit_norms, py::arg("w"), py::kw_only(), py::arg("min_value") = 0.0, py::arg("max_value"),
        py::arg("rate") = 1.0, py::arg("axis") = py::int_(0));
}

}  // namespace evenflow
