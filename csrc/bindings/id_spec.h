// Descriptions of layers that make or read ids.
#pragma once

#include <cmath>

#include "bindings/spec.h"

namespace evenflow {

inline int features_of_ids(const LayerSpec& layer, int ids) {
  const auto each = std::min<std::int64_t>(std::int64_t{ids} * layer.units, 1 << 30);  // more is refused later
  if (layer.kind == LayerSpec::embedding) return static_cast<int>(each);
  if (layer.kind != LayerSpec::category_encoding) return ids;
  return layer.encoding == LayerSpec::one_hot ? static_cast<int>(each) : layer.units;
}

inline void SpecReader::of_ids(const SpecReader& in, LayerSpec& layer) {
  if (layer.kind == LayerSpec::discretization) {
    layer.boundaries = in.ascending("boundaries");
    return;
  }
  layer.units = in.whole("units", 1);
  if (layer.kind == LayerSpec::embedding) {
    layer.input_dim = in.whole("input_dim", 1);
    layer.trainable = in.flag("trainable", true);
  } else {
    layer.masks = in.flag("masks", false);
    layer.encoding = static_cast<LayerSpec::Encoding>(
        index_of(in.where_, "encoding", in.string("encoding"), {"one_hot", "multi_hot", "count"}));
  }
}

inline std::vector<double> SpecReader::ascending(const char* key) const {
  const auto found = need<std::vector<double>>(key, "a list of numbers");
  for (std::size_t i = 0; i < found.size(); ++i)
    if (!std::isfinite(found[i]) || (i > 0 && found[i] < found[i - 1]))
      refuse(where_, key, "finite numbers in ascending order", number_text(found[i]));
  return found;
}

}  // namespace evenflow
