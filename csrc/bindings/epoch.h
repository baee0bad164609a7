// Arguments of an epoch: the arrays of each input, what has one value for each step, and labels.
#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "bindings/arrays.h"
#include "bindings/names.h"
#include "program/feed.h"
#include "program/program.h"

namespace evenflow {

// The arrays of each input: x itself where there is one, else a list, or what has one as `arrays` (data.Several).
inline std::vector<py::array> arrays_of(const char* function, const py::object& given, std::size_t inputs) {
  if (inputs == 1) return {array_of(function, "x", given)};
  const py::object x = py::getattr(given, "arrays", given);
  if (!py::isinstance<py::list>(x) && !py::isinstance<py::tuple>(x))
    refuse_type(function, "x", "a list of " + std::to_string(inputs) + " arrays",
                text(py::type::of(x).attr("__name__")));
  if (py::len(x) != inputs)
    refuse(function, "x", std::to_string(inputs) + " arrays, one for each input", std::to_string(py::len(x)));
  std::vector<py::array> found;
  for (const auto& one : x) found.push_back(array_of(function, "x", py::reinterpret_borrow<py::object>(one)));
  return found;
}

// Rows of so many features each.
inline Feeds feeds_of(const char* function, const py::object& x, const std::vector<int>& features) {
  const std::vector<py::array> all = arrays_of(function, x, features.size());
  Feeds feeds;
  for (std::size_t i = 0; i < all.size(); ++i) {
    feeds.push_back(feed_of(function, "x", all[i], features[i], false));
    if (feeds[i].rows != feeds[0].rows)
      refuse(function, "x", std::to_string(feeds[0].rows) + " rows in every array",
             std::to_string(feeds[i].rows) + " in array " + std::to_string(i));
  }
  return feeds;
}

// A number, which `one` then holds, or an array with one for each step, which is read where it lies.
inline PerStep per_step(const char* function, const char* argument, const py::object& given, std::int64_t steps,
                        double& one) {
  PerStep found;
  found.several = py::isinstance<py::array>(given) && py::array(given).ndim() > 0;
  if (found.several) {
    found.values = dense<double>(function, argument, py::array(given), {steps});
  } else {
    try {
      one = given.cast<double>();
    } catch (const py::cast_error&) {
      refuse_type(function, argument, "a number or a float64 array", text(py::repr(given)));
    }
    found.values = &one;
  }
  for (std::int64_t i = 0; i < (found.several ? steps : 1); ++i)
    if (!std::isfinite(found.values[i])) refuse(function, argument, "finite numbers", std::to_string(found.values[i]));
  return found;
}

inline void check_momentum(const char* function, const AnyOptimizer& any, const PerStep& momentum, std::int64_t steps) {
  const Range range = std::visit(
      [&](const auto& optimizer) {
        const Range* found = optimizer.momentum_range();
        if (found == nullptr)
          refuse(function, "momentum", "a spec whose optimizer has momentum",
                 "a spec whose optimizer, '" + std::string(optimizer.name) + "', has none");
        return *found;
      },
      any);
  for (std::int64_t i = 0; i < (momentum.several ? steps : 1); ++i)
    check_range(function, "momentum", momentum.values[i], range);
}

// That of a single step; nothing for None.
inline std::optional<double> one_momentum(const char* function, const AnyOptimizer& any, const py::object& given) {
  if (given.is_none()) return {};
  double one = 0;
  const PerStep momentum = per_step(function, "momentum", given, 1, one);
  check_momentum(function, any, momentum, 1);
  return momentum[0];
}

inline void check_labels(const char* function, const Feed& y, int units, std::int64_t ignored) {
  constexpr std::int64_t at_once = std::int64_t{1} << 24;  // rows between two looks at Ctrl-C
  std::int64_t bad = -1, value = 0;
  for (std::int64_t row = 0; row < y.rows;) {
    {
      const py::gil_scoped_release nogil;
      for (const std::int64_t end = std::min(y.rows, row + at_once); row < end && bad < 0; ++row) {
        convert_row(&value, y, y.data + row * y.row_stride, 0, 1);
        if ((value < 0 || value >= units) && value != ignored) bad = row;
      }
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (bad >= 0)
      refuse(function, "y", "labels from 0 to " + std::to_string(units - 1),
             std::to_string(value) + " in row " + std::to_string(bad));
  }
}

// Whether sums are those of a program like this one.
inline void check_after(const Plan& plan, const char* function, const Progress& after) {
  const auto& metrics = plan.spec.metrics;
  bool fits = after.metrics.size() == metrics.size();
  for (std::size_t m = 0; fits && m < metrics.size(); ++m)
    fits = static_cast<std::ptrdiff_t>(after.metrics[m].size()) == metrics[m].size(plan.units());
  if (!fits)
    refuse(function, "after", "the sums of " + std::to_string(metrics.size()) + " metrics, as this program has them",
           "those of " + std::to_string(after.metrics.size()));
}

inline void check_health(const Plan& plan, const char* function, const Health* health) {
  if (health != nullptr && !health->fits(plan))
    refuse(function, "health", "the Health of a program with these layers", "that of another");
}

}  // namespace evenflow
