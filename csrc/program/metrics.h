// Metrics as plain data, and their states: sums that records of rows are added to, in row order.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/metric.h"

namespace evenflow {

// What is known of a kind of metric.
struct MetricTraits {
  const char* name;
  Targets targets;
  bool counts;
  std::ptrdiff_t (*width)(const Metric&);
  std::ptrdiff_t (*size)(const Metric&);
};
template <class Kinds>
struct MetricTable;
template <class... Kind>
struct MetricTable<List<Kind...>> {
  static constexpr MetricTraits rows[] = {
      {Kind::name, Kind::targets, Kind::Form::counts, Kind::Form::width, Kind::Form::size}...};
};

struct MetricSpec {
  std::size_t kind = 0;
  Metric settings;
  std::vector<double> thresholds;
  int block = 0;          // of the outputs that are read, where these are several for each target
  bool weighted = false;  // rows count by their weights

  bool sees_predictions() const { return traits().targets == Targets::none; }
  const MetricTraits& traits() const { return MetricTable<MetricKinds>::rows[kind]; }
  Metric settings_for(int units) const {
    Metric m = settings;
    m.units = units / m.blocks;
    m.first = block * m.units;
    if (m.units == 1 && m.prediction_class == ClassOf::strongest) m.target_class = m.prediction_class = ClassOf::above;
    m.thresholds = thresholds.data();
    m.threshold_count = static_cast<int>(thresholds.size());
    m.even = true;
    for (int i = 0; i < m.threshold_count; ++i)
      m.even &= std::abs(m.thresholds[i] * (m.threshold_count + 1) - (i + 1)) < 0.01;
    return m;
  }
  std::ptrdiff_t width(int units) const { return traits().width(settings_for(units)); }
  std::ptrdiff_t size(int units) const { return traits().size(settings_for(units)); }
};

// Whether some metric reads labels as one-hot rows.
inline bool want_one_hot(const std::vector<MetricSpec>& metrics) {
  for (const MetricSpec& metric : metrics)
    if (metric.traits().targets == Targets::either) return true;
  return false;
}

// Adds the records of some rows, [width][stride], to a state; each row counts once or by its weight.
inline void add_records(const MetricTraits& kind, const Metric& settings, double* state, const double* records,
                        std::ptrdiff_t stride, int rows, const double* weights) {
  for (const double* end = records + kind.width(settings) * stride; records < end; records += stride) {
    if (kind.counts) {
      for (int row = 0; row < rows; ++row)
        if (records[row] >= 0)
          state[static_cast<std::ptrdiff_t>(records[row])] += weights != nullptr ? weights[row] : 1;
      continue;
    }
    double sum = 0;
    if (weights == nullptr)
      for (int row = 0; row < rows; ++row) sum += records[row];
    else
      for (int row = 0; row < rows; ++row) sum += records[row] * weights[row];
    *state++ += sum;
  }
}

}  // namespace evenflow
