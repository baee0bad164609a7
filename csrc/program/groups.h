// Which features share statistics.
#pragma once

#include <algorithm>
#include <stdexcept>

#include "program/arena.h"
#include "program/plan.h"

namespace evenflow {

// Features of rows of a shape share statistics unless they differ along an axis that has its own.
inline Groups groups_of(const LayerSpec& layer, int units) {
  Groups groups;
  if (layer.shape.empty()) return groups;
  std::ptrdiff_t features = 1;
  for (int size : layer.shape) features = product(features, size);
  if (features != units)
    throw std::invalid_argument("Program: layer '" + layer.name + "': shape: expected " + std::to_string(units) +
                                " features, received " + std::to_string(features));
  std::ptrdiff_t count = 1;
  for (int axis : layer.axis) count *= layer.shape[static_cast<std::size_t>(axis) - 1];
  if (count == features) return groups;
  groups.count = static_cast<int>(count);
  for (int feature = 0; feature < units; ++feature) {
    int group = 0, rest = feature, step = units;
    for (std::size_t d = 0; d < layer.shape.size(); ++d) {
      step /= layer.shape[d];
      if (std::find(layer.axis.begin(), layer.axis.end(), static_cast<int>(d) + 1) != layer.axis.end())
        group = group * layer.shape[d] + rest / step;
      rest %= step;
    }
    groups.of.push_back(group);
  }
  std::vector<int> next(static_cast<std::size_t>(count));
  groups.members.resize(static_cast<std::size_t>(units));
  const int size = static_cast<int>(features / count);
  for (int feature = 0; feature < units; ++feature) {
    const int group = groups.of[static_cast<std::size_t>(feature)];
    groups.members[static_cast<std::size_t>(group * size + next[static_cast<std::size_t>(group)]++)] = feature;
  }
  return groups;
}

}  // namespace evenflow
