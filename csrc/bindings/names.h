// Names that users type: found, or refused with the nearest known one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "kernels/kernels.h"
#include "math/optimizers.h"

namespace evenflow {

inline std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

inline std::size_t index_of(const std::string& function, const std::string& argument, const std::string& name,
                            const std::vector<std::string>& known) {
  const auto found = std::find(known.begin(), known.end(), name);
  if (found != known.end()) return static_cast<std::size_t>(found - known.begin());
  if (known.empty()) refuse(function, argument, "nothing: there are no such names", "'" + name + "'");
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
    return edits(name, a) < edits(name, b);
  });
  std::string all;
  for (const auto& one : known) all += (all.empty() ? "" : ", ") + one;
  refuse(function, argument, "one of " + all, "'" + name + "'; did you mean '" + *nearest + "'?");
}

inline std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}
inline std::string range_text(Range range) {
  return "a number from " + number_text(range.lowest) + " to " + number_text(range.highest);
}
inline void check_range(const char* function, const char* name, double value, Range range) {
  if (value >= range.lowest && value <= range.highest) return;
  refuse(function, name, range_text(range), number_text(value));
}
inline void check_epsilon(const char* function, double epsilon) {
  if (!(epsilon >= 0) || std::isinf(epsilon))
    refuse(function, "epsilon", "a finite number of at least 0", number_text(epsilon));
}

// The hyper-parameters of an activation: -1 for a name that is none of them.
inline int parameter_index(const ActivationKernel<float>& activation, const std::string& name) {
  for (int i = 0; i < activation.parameter_count; ++i)
    if (name == activation.parameters[i].name) return i;
  return -1;
}
inline std::string parameter_text(const ActivationKernel<float>& activation, const std::string& name) {
  std::string all;
  for (int i = 0; i < activation.parameter_count; ++i)
    all += (i == 0 ? "" : ", ") + std::string(activation.parameters[i].name);
  return all.empty() ? "no hyper-parameters for '" + name + "'" : all;
}

}  // namespace evenflow
