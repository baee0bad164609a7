// Where values meet: stages that read several others, and stages that several others read.
#pragma once

#include "program/step.h"

namespace evenflow {

// Features [first, first + count) of one tensor become those from to_first on of another, for all rows.
template <class T>
void Program<T>::Step::copy_features(T* to, int to_units, int to_first, const T* from, int from_units, int first,
                                     int count) const {
  const int full = plan.layout.full();
  while (count > 0) {
    const int to_panel = to_first / full, to_lane = to_first % full, panel = first / full, lane = first % full;
    const int several = std::min({count, full - to_lane, full - lane});
    const int to_width = plan.layout.width(to_units, to_panel), width = plan.layout.width(from_units, panel);
    T* out = to + to_panel * plan.panel_stride() + to_lane;
    const T* in = from + panel * plan.panel_stride() + lane;
    for (int row = 0; row < rows; ++row, out += to_width, in += width) std::copy_n(in, several, out);
    to_first += several;
    first += several;
    count -= several;
  }
}

template <class T>
void Program<T>::Step::map_panel(const Stage& stage, int panel, int width) const {
  T* to = at(stage.product, panel);
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(rows) * width;
  const auto source = [&](std::size_t i) -> const Stage& {
    return plan.stages[static_cast<std::size_t>(stage.from[i])];
  };
  switch (stage.map) {
    case Map::linear:
      k.product(to, {at(source(0).output, 0), plan.panel_stride(), p.parameters_ + slice(stage.kernel, panel)}, 0, rows,
                stage.inputs, width);
      break;
    case Map::transposed:
      k.transpose(scratch, p.parameters_ + plan.variables[static_cast<std::size_t>(stage.kernel)].offset, stage.units,
                  stage.inputs, panel * plan.layout.full(), width);
      k.product(to, {at(source(0).output, 0), plan.panel_stride(), scratch}, 0, rows, stage.inputs, width);
      break;
    case Map::add:
    case Map::multiply:
      std::copy_n(at(source(0).output, panel), n, to);
      for (std::size_t i = 1; i < stage.from.size(); ++i)
        (stage.map == Map::add ? k.add : k.multiply)(to, at(source(i).output, panel), n);
      break;
    case Map::concatenate: {
      const int begin = panel * plan.layout.full(), end = std::min(begin + width, stage.units);
      int offset = 0;
      for (std::size_t i = 0; i < stage.from.size(); offset += source(i++).units) {
        const int first = std::max(begin, offset), last = std::min(end, offset + source(i).units);
        copy_features(at(stage.product, 0), stage.units, first, at(source(i).output, 0), source(i).units,
                      first - offset, last - first);
      }
      if (end < begin + width) k.clear_padding(to, rows, width, end - begin);
      break;
    }
    case Map::embedding:
      embed_panel(stage, panel, width);
      break;
    case Map::category_encoding:
      encode_panel(stage, panel, width);
      break;
    case Map::discretization:
      discretize_panel(stage, panel, width);
      break;
    default:  // gathered before, of whole rows, or another stage's output as it is
      break;
  }
}

// One reader's part of the gradient of what it reads.
template <class T>
void Program<T>::Step::pull(T* to, const Stage& stage, const Stage::Reader& reader, int panel, int width) const {
  const Stage& above = plan.stages[static_cast<std::size_t>(reader.stage)];
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(rows) * width;
  switch (above.map) {
    case Map::linear:
      k.transpose(scratch, p.parameters_ + plan.variables[static_cast<std::size_t>(above.kernel)].offset, stage.units,
                  above.units, panel * plan.layout.full(), width);
      k.product(to, {gradient(reader.stage, 0), plan.panel_stride(), scratch}, 0, rows, above.units, width);
      break;
    case Map::transposed:
      k.product(to, {gradient(reader.stage, 0), plan.panel_stride(), p.parameters_ + slice(above.kernel, panel)}, 0,
                rows, above.units, width);
      break;
    case Map::concatenate: {
      const int begin = panel * plan.layout.full(), count = std::min(width, stage.units - begin);
      // As the first panel of a tensor of its own.
      copy_features(to, count, 0, gradient(reader.stage, 0), above.units, plan.offset_in(reader) + begin, count);
      if (count < width) k.clear_padding(to, rows, width, count);
      break;
    }
    case Map::multiply:
      std::copy_n(gradient(reader.stage, panel), n, to);
      for (std::size_t i = 0; i < above.from.size(); ++i)
        if (static_cast<int>(i) != reader.position)
          k.multiply(to, at(plan.stages[static_cast<std::size_t>(above.from[i])].output, panel), n);
      break;
    case Map::embedding:
    case Map::category_encoding:
    case Map::discretization:
      std::fill_n(to, n, T(0));
      break;
    default:
      std::copy_n(gradient(reader.stage, panel), n, to);
  }
}

template <class T>
void Program<T>::Step::pull_all(int number, int panel, int width) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  T *to = gradient(number, panel), *spare = scratch + plan.scratch_size();
  if (plan.alone(stage) && of_rows(plan.stages[static_cast<std::size_t>(stage.readers[0].stage)].map))
    return;                       // which wrote it
  bool first = !stage.is_output;  // else the loss's is there
  for (auto reader = stage.readers.rbegin(); reader != stage.readers.rend(); ++reader, first = false) {
    pull(first ? to : spare, stage, *reader, panel, width);
    if (!first) k.add(to, spare, static_cast<std::ptrdiff_t>(rows) * width);
  }
}

}  // namespace evenflow
