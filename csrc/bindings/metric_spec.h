// A metric's settings, checked: nothing that a kernel reads may lie outside a row.
#pragma once

#include <pybind11/stl.h>

#include "bindings/spec.h"

namespace evenflow {

inline const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found;
    for (const MetricTraits& traits : MetricTable<MetricKinds>::rows) found.emplace_back(traits.name);
    return found;
  }();
  return names;
}

inline MetricSpec SpecReader::metric(const std::string& where, const py::handle& entry, int units) {
  py::dict data;
  if (py::isinstance<py::dict>(entry))
    data = py::reinterpret_borrow<py::dict>(entry);
  else
    data["kind"] = entry;
  const SpecReader in(where, data);
  for (const auto& [key, value] : data)
    index_of(where, "settings", text(key),
             {"kind", "threshold", "from_logits", "label_smoothing", "k", "class_id", "multi_label", "thresholds"});
  MetricSpec metric;
  Metric& m = metric.settings;
  metric.kind = index_of(where, "kind", in.string("kind"), metric_names());
  const std::string name = metric.traits().name;
  m.strongest = name == metric_kinds::ClassSums::name && in.missing("threshold");
  if (!in.missing("threshold")) m.threshold = in.number("threshold", -1e300, 1e300);
  m.from_logits = in.flag("from_logits", false);
  if (!in.missing("label_smoothing")) m.label_smoothing = in.number("label_smoothing", 0, 1);
  m.multi_label = in.flag("multi_label", false);
  const auto within = [&](const char* key, int lowest, int highest) {
    const int value = in.whole(key, lowest);
    if (value > highest)
      refuse(where, key, "at most " + std::to_string(highest) + " for " + std::to_string(units) + " outputs",
             std::to_string(value));
    return value;
  };
  const bool needs_k =
      name == metric_kinds::TopKCategoricalAccuracy::name || name == metric_kinds::SparseTopKCategoricalAccuracy::name;
  if (needs_k || !in.missing("k")) m.k = within("k", 1, units);
  if (!in.missing("class_id")) m.class_id = within("class_id", 0, units - 1);
  if (!in.missing("thresholds")) {
    metric.thresholds = in.need<std::vector<double>>("thresholds", "a list of numbers");
    constexpr std::size_t most = 1 << 24;
    if (metric.thresholds.size() > most)
      refuse(where, "thresholds", "at most " + std::to_string(most), std::to_string(metric.thresholds.size()));
    double last = -std::numeric_limits<double>::infinity();
    for (const double threshold : metric.thresholds) {
      if (!(threshold >= last)) refuse(where, "thresholds", "ascending numbers", number_text(threshold));
      last = threshold;
    }
  }
  return metric;
}

}  // namespace evenflow
