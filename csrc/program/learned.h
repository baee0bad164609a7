// The trained parameters of activations: one for each feature, which belongs to its panel like a bias, or one for all.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
void Program<T>::Step::learned_columns(const Segment& s, int units, int panel, Columns<T>& c) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(s.learned)];
  T* values = p.activations_ + s.learned_columns + panel * plan.layout.full();
  T* gradient = values + plan.layout.padded(units);
  if (s.shared) {
    std::fill_n(values, plan.layout.width(units, panel), p.parameters_[v.offset]);
    c.learned = values;
    c.dlearned = gradient;
  } else {
    c.learned = p.parameters_ + slice(s.learned, panel);
    c.dlearned = v.trainable && !plan.adds(s.learned, s.stage) ? p.gradients_ + slice(s.learned, panel) : gradient;
  }
}

// In the order of the features, whatever the threads.
template <class T>
void Program<T>::Step::merge_learned(const Stage& stage) const {
  const Range own = own_range(stage);
  if (own.first != 0 || own.end == 0) return;
  for (const Segment& s : stage.segments) {
    if (!s.shared || !plan.variables[static_cast<std::size_t>(s.learned)].trainable) continue;
    const T* of_features = p.activations_ + s.learned_columns + plan.layout.padded(stage.units);
    double total = 0;
    for (int feature = 0; feature < stage.units; ++feature) total += static_cast<double>(of_features[feature]);
    T& gradient = p.gradients_[slice(s.learned, 0)];
    gradient = static_cast<T>(total + (plan.adds(s.learned, s.stage) ? static_cast<double>(gradient) : 0));
    if (plan.completes(s.learned, s.stage)) penalize(s.learned, 0, slice(s.learned, 0), plan.layout.lanes);
  }
}

template <class T>
void Program<T>::Step::merge_learned() const {
  if (!plan.merges_learned) return;
  for (auto stage = plan.stages.rbegin(); stage != plan.stages.rend(); ++stage) {
    merge_learned(*stage);
    const Range own = own_range(*stage);
    if ((!measures && !accumulates) || own.first != 0 || own.end == 0) continue;
    for (const Segment& s : stage->segments)
      if (s.shared && plan.completes(s.learned, s.stage) &&
          plan.variables[static_cast<std::size_t>(s.learned)].trainable)
        written(s.learned, 0, 0, slice(s.learned, 0), plan.layout.lanes);
  }
  barrier.wait(threads);
}

}  // namespace evenflow
