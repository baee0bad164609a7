// Checks of inputs that layers read as ids.
#pragma once

#include "bindings/arrays.h"
#include "bindings/names.h"
#include "program/plan.h"

namespace evenflow {

// Ids travel as numbers of the program's type, which holds so many exactly.
template <class T>
void check_id_counts(const Spec& spec) {
  constexpr int most = sizeof(T) == 4 ? 1 << 24 : 1 << 30;
  for (const LayerSpec& layer : spec.layers) {
    const int ids = layer.kind == LayerSpec::category_encoding ? layer.units : layer.input_dim;
    if (ids > most)
      refuse("Program: layer '" + layer.name + "'", "input_dim", "at most 2^24 ids in float32, 2^30 in float64",
             std::to_string(ids));
  }
}

// Whether inputs that layers read as ids hold such. All rows, whatever their order.
inline void check_ids(const char* function, const Plan& plan, const Feeds& inputs) {
  constexpr std::int64_t at_once = std::int64_t{1} << 22;  // rows between two looks at Ctrl-C
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Plan::Ids& ids = plan.ids[i];
    if (ids.limit == 0) continue;
    for (std::int64_t first = 0; first < inputs[i].rows; first += at_once) {
      Feed part = inputs[i];
      part.data += first * part.row_stride;
      part.rows = std::min(at_once, part.rows - first);
      std::pair<std::int64_t, int> wrong;
      {
        const py::gil_scoped_release nogil;
        wrong = find_wrong_id(part, ids.limit);
      }
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (wrong.first < 0) continue;
      double value = 0;
      convert_row(&value, part, part.data + wrong.first * part.row_stride, wrong.second, 1);
      refuse(function, "x",
             "whole numbers from 0 to " + std::to_string(ids.limit - 1) + " for layer '" + ids.layer + "'",
             number_text(value) + " in row " + std::to_string(first + wrong.first) + ", column " +
                 std::to_string(wrong.second) + " of input " + std::to_string(i));
    }
  }
}

}  // namespace evenflow
