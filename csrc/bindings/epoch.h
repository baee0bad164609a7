// Arguments of an epoch: the arrays of each input, what has one value for each step, and labels.
#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "bindings/arrays.h"
#include "bindings/ids.h"
#include "bindings/names.h"
#include "program/feed.h"
#include "program/plan.h"
#include "program/run.h"

namespace evenflow {

// What each input or output has: `given` itself where there is one, else those of a list, or of what has one as
// `arrays` (data.Several).
inline std::vector<py::object> each_of(const char* function, const char* argument, const py::object& given,
                                       std::size_t count, const char* of) {
  if (count == 1) return {given};
  const py::object all = py::getattr(given, "arrays", given);
  if (!py::isinstance<py::list>(all) && !py::isinstance<py::tuple>(all))
    refuse_type(function, argument, "a list of " + std::to_string(count) + " arrays",
                text(py::type::of(all).attr("__name__")));
  if (py::len(all) != count)
    refuse(function, argument, std::to_string(count) + " arrays, one for each " + of, std::to_string(py::len(all)));
  std::vector<py::object> found;
  for (const auto& one : all) found.push_back(py::reinterpret_borrow<py::object>(one));
  return found;
}

inline std::vector<py::array> arrays_of(const char* function, const char* argument, const py::object& given,
                                        std::size_t count, const char* of) {
  std::vector<py::array> found;
  for (const py::object& one : each_of(function, argument, given, count, of))
    found.push_back(array_of(function, argument, one));
  return found;
}

// The only one, or a list.
inline py::object as_given(const std::vector<py::array>& arrays) {
  return arrays.size() == 1 ? py::object(arrays[0]) : py::cast(arrays);
}

inline void check_threads(int threads) {
  if (threads < 0 || threads > 4096) refuse("Program", "threads", "0 to 4096", std::to_string(threads));
}

// Whether arrays that are written share no memory with each other, nor with those that are read.
inline void check_apart(const char* function, const std::vector<py::array>& out, const std::vector<py::array>& x) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (const py::array& read : x)
      if (overlap(out[i], read)) refuse(function, "out", "memory of its own", "memory shared with 'x'");
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(out[i], out[j])) refuse(function, "out", "memory of its own for each output", "shared memory");
  }
}

// Rows of so many features each.
inline Feeds feeds_of(const char* function, const py::object& x, const std::vector<int>& features) {
  const std::vector<py::array> all = arrays_of(function, "x", x, features.size(), "input");
  Feeds feeds;
  for (std::size_t i = 0; i < all.size(); ++i) {
    feeds.push_back(feed_of(function, "x", all[i], features[i], false));
    if (feeds[i].rows != feeds[0].rows)
      refuse(function, "x", std::to_string(feeds[0].rows) + " rows in every array",
             std::to_string(feeds[i].rows) + " in array " + std::to_string(i));
  }
  return feeds;
}

inline Feeds checked_feeds(const char* function, const py::object& x, const Plan& plan) {
  Feeds feeds = feeds_of(function, x, plan.spec.inputs);
  check_ids(function, plan, feeds);
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

// The rows that an epoch goes through, where they lie: inputs, and of each output targets and weights of rows.
class EpochData {
 public:
  Feeds inputs, targets;
  std::int64_t rows;

  EpochData(const char* function, const Plan& plan, const py::object& x, const py::object& y,
            const py::object& sample_weight)
      : inputs(feeds_of(function, x, plan.spec.inputs)),
        targets(plan.heads.size()),
        rows(inputs[0].rows),
        plan_(plan),
        rows_given_(rows),
        weights_(plan.heads.size()) {
    const auto& outputs = plan.spec.outputs;
    if (std::none_of(outputs.begin(), outputs.end(), [](const OutputSpec& o) { return o.loss.has_value(); }))
      refuse(function, "y", "a spec with a loss", "a spec without one");
    const std::vector<py::object> all = each_of(function, "y", y, outputs.size(), "output");
    for (std::size_t h = 0; h < outputs.size(); ++h)
      if (outputs[h].loss)
        targets[h] = of_as_many_rows(function, "y", all[h], plan.target_columns(h), outputs[h].loss->labels());
    if (rows == 0)
      refuse(function, "x", "at least one row",
             "shape " + shape_text(arrays_of(function, "x", x, inputs.size(), "input")[0]));
    if (sample_weight.is_none()) return;
    weighted_.resize(outputs.size());
    const std::vector<py::object> given = each_of(function, "sample_weight", sample_weight, outputs.size(), "output");
    for (std::size_t h = 0; h < outputs.size(); ++h) {
      weighted_[h] = !given[h].is_none();
      if (weighted_[h]) weights_[h] = of_as_many_rows(function, "sample_weight", given[h], 1, false);
    }
  }

  void put_in_order(const char* function, const py::object& order) {
    const py::array given = array_of(function, "order", order);
    const std::int64_t* positions = dense<std::int64_t>(function, "order", given, {-1});
    for (py::ssize_t i = 0; i < given.shape(0); ++i)
      if (positions[i] < 0 || positions[i] >= rows)
        refuse(function, "order", "rows from 0 to " + std::to_string(rows - 1),
               std::to_string(positions[i]) + " at position " + std::to_string(i));
    rows = given.shape(0);
    if (rows == 0) refuse(function, "order", "at least one row", "none");
    for (Feed& one : inputs) one.rows = rows;
    for (Feeds* feeds : {&inputs, &targets, &weights_})
      for (Feed& one : *feeds) one.order = positions;
  }

  // As a run takes them.
  std::vector<const Feed*> weights_of_outputs() const {
    std::vector<const Feed*> found;
    for (std::size_t h = 0; h < weighted_.size(); ++h) found.push_back(weighted_[h] ? &weights_[h] : nullptr);
    return found;
  }

  // Of all rows there are, in an order or not.
  void check_values(const char* function) const {
    Feeds whole = inputs;
    for (Feed& one : whole) one.rows = rows_given_;
    check_ids(function, plan_, whole);
    for (std::size_t h = 0; h < targets.size(); ++h)
      if (const auto& loss = plan_.spec.outputs[h].loss; loss && loss->labels())
        evenflow::check_labels(function, targets[h], plan_.units(h), loss->ignore_class());
  }

 private:
  Feed of_as_many_rows(const char* function, const char* argument, const py::object& given, int columns,
                       bool labels) const {
    const Feed found = feed_of(function, argument, array_of(function, argument, given), columns, labels);
    if (rows != found.rows)
      refuse(function, argument, std::to_string(rows) + " rows, as x has", std::to_string(found.rows));
    return found;
  }

  const Plan& plan_;
  const std::int64_t rows_given_;
  Feeds weights_;
  std::vector<bool> weighted_;  // of each output; nothing where no rows have weights
};

// Whether sums are those of a program like this one.
inline void check_after(const Plan& plan, const char* function, const Progress& after) {
  std::vector<std::size_t> sizes;
  for (std::size_t h = 0; h < plan.heads.size(); ++h)
    for (const MetricSpec& metric : plan.spec.outputs[h].metrics)
      sizes.push_back(static_cast<std::size_t>(metric.size(plan.units(h))));
  bool fits = after.metrics.size() == sizes.size() && after.losses.size() == plan.heads.size() &&
              after.weights.size() == plan.heads.size();
  for (std::size_t m = 0; fits && m < sizes.size(); ++m) fits = after.metrics[m].size() == sizes[m];
  if (!fits)
    refuse(function, "after", "the sums of " + std::to_string(sizes.size()) + " metrics, as this program has them",
           "those of " + std::to_string(after.metrics.size()));
}

inline void check_health(const Plan& plan, const char* function, const Health* health) {
  if (health != nullptr && !health->fits(plan))
    refuse(function, "health", "the Health of a program with these layers", "that of another");
}

}  // namespace evenflow
