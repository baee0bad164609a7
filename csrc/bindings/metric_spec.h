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
             {"kind", "threshold", "from_logits", "label_smoothing", "k", "class_id", "multi_label", "thresholds",
              "weighted", "blocks", "block", "quantiles", "lower", "upper", "classes", "ignore_class", "target_class",
              "prediction_class"});
  MetricSpec metric;
  Metric& m = metric.settings;
  metric.kind = index_of(where, "kind", in.string("kind"), metric_names());
  const std::string name = metric.traits().name;
  m.strongest = name == metric_kinds::ClassSums::name && in.missing("threshold");
  if (!in.missing("threshold")) m.threshold = in.number("threshold", -1e300, 1e300);
  m.from_logits = in.flag("from_logits", false);
  if (!in.missing("label_smoothing")) m.label_smoothing = in.number("label_smoothing", 0, 1);
  m.multi_label = in.flag("multi_label", false);
  metric.weighted = in.flag("weighted", false);
  outputs(in, metric, units);
  classes(in, m);
  units /= m.blocks;
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

// Which of several outputs for each target a metric reads.
inline void SpecReader::outputs(const SpecReader& in, MetricSpec& metric, int units) {
  Metric& m = metric.settings;
  const std::string name = metric.traits().name;
  Fill{in}("quantiles", m.quantiles, open_share);
  if (!in.missing("blocks")) m.blocks = in.whole("blocks", 1);
  if (name == metric_kinds::Pinball::name) m.blocks = m.quantiles.count;
  if (name == metric_kinds::NormalCoverage::name || name == metric_kinds::NormalWidth::name) m.blocks = 2;
  if (units % m.blocks != 0)
    refuse(in.where_, "blocks", "a divisor of the number of outputs, " + std::to_string(units),
           std::to_string(m.blocks));
  const auto below = [&](const char* key, double value) {
    if (value >= m.blocks)
      refuse(in.where_, key, "below the number of blocks, " + std::to_string(m.blocks), number_text(value));
  };
  if (!in.missing("block")) below("block", metric.block = in.whole("block", 0));
  const bool of_blocks = name == metric_kinds::IntervalCoverage::name || name == metric_kinds::IntervalWidth::name;
  for (const auto& [key, value] : {std::pair{"lower", &m.lower}, std::pair{"upper", &m.upper}}) {
    if (in.missing(key)) continue;
    *value = of_blocks ? in.whole(key, 0) : in.number(key, -1e300, 1e300);
    if (of_blocks) below(key, *value);
  }
}

// How a metric reads classes.
inline void SpecReader::classes(const SpecReader& in, Metric& m) {
  constexpr int most = 1 << 14;
  if (!in.missing("classes")) m.class_count = in.whole("classes", 2);
  if (m.class_count > most)
    refuse(in.where_, "classes", "at most " + std::to_string(most), std::to_string(m.class_count));
  if (!in.missing("ignore_class")) m.ignore_class = in.need<std::int64_t>("ignore_class", "a whole number");
  const std::vector<std::string> words(std::begin(class_words), std::end(class_words));
  for (const auto& [key, how] :
       {std::pair{"target_class", &m.target_class}, std::pair{"prediction_class", &m.prediction_class}})
    if (!in.missing(key)) *how = static_cast<ClassOf>(index_of(in.where_, key, in.string(key), words));
  if ((m.target_class == ClassOf::strongest) != (m.prediction_class == ClassOf::strongest))
    refuse(in.where_, "target_class", "'strongest' beside a prediction_class 'strongest' only",
           class_words[static_cast<int>(m.target_class)]);
}

}  // namespace evenflow
