// Descriptions of regularizers and constraints.
#pragma once

#include "bindings/spec.h"

namespace evenflow {

inline Penalty SpecReader::penalty() const {
  Penalty found;
  if (!missing("l1")) found.l1 = number("l1", 0, nonnegative.highest);
  if (!missing("l2")) found.l2 = number("l2", 0, nonnegative.highest);
  return found;
}

// Along which axes norms are taken, from -2 to 1 and as they were given: a vector has one axis, a kernel two.
inline std::vector<int> SpecReader::norm_axis() const {
  if (missing("axis")) return {0};
  const auto given = need<py::object>("axis", "an axis or a list of axes");
  py::list listed;
  if (py::isinstance<py::sequence>(given))
    for (const auto& one : given) listed.append(one);
  else
    listed.append(given);
  std::vector<int> found;
  for (const auto& one : listed) {
    py::dict entry;
    entry["axis"] = one;
    const auto axis = SpecReader(where_, entry).need<std::int64_t>("axis", "an axis or a list of axes");
    if (axis < -2 || axis > 1) refuse(where_, "axis", "numbers from -2 to 1", std::to_string(axis));
    found.push_back(static_cast<int>(axis));
  }
  if (found.empty()) refuse(where_, "axis", "at least one axis", "none");
  return found;
}

inline void SpecReader::regularization(const SpecReader& in, LayerSpec& layer) {
  in.each_variable("regularizers", [&](const std::string& name, const SpecReader& given) {
    Regularization& r = layer.regularization[name];
    r.penalty = given.penalty();
    if (!given.missing("orthogonal")) r.orthogonal.factor = given.number("orthogonal", 0, nonnegative.highest);
    if (!given.missing("mode"))
      r.orthogonal.rows = index_of(given.where_, "mode", given.string("mode"), {"rows", "columns"}) == 0;
    r.proximal = given.flag("proximal", false);
    if (r.proximal && r.penalty.l2 != 0)
      refuse(given.where_, "l2", "0 beside a proximal l1", number_text(r.penalty.l2));
  });
  in.each_variable("constraints", [&](const std::string& name, const SpecReader& given) {
    Regularization& r = layer.regularization[name];
    r.nonnegative = index_of(given.where_, "kind", given.string("kind"), {"norm", "non_negative"}) == 1;
    if (r.nonnegative) return;
    NormLimits limits;
    limits.lowest = given.number("min_value", 0, nonnegative.highest);
    limits.highest = given.number("max_value", limits.lowest, nonnegative.highest);
    limits.rate = given.number("rate", 0, 1);
    r.norms = limits;
    r.axis = given.norm_axis();
  });
}

}  // namespace evenflow
