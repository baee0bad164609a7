// Clipping and the update rule of a step.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
void Program<T>::Step::rules(double rate, double momenta) const {
  for (std::size_t i = 0; i < plan.rates.size(); ++i)
    spendings[i] = spending_of(plan.spec.optimizer, {rate * plan.rates[i], static_cast<double>(step), momenta,
                                                     momentum ? &*momentum : nullptr});
}

template <class T>
Average<T> Program<T>::Step::average(std::ptrdiff_t offset) const {
  const OptimizerSpec& o = plan.spec.optimizer;
  const bool overwrites = o.ema_overwrite_frequency > 0 && step % o.ema_overwrite_frequency == 0;
  return {p.slot(plan.average) + offset, step == 1 ? 0 : *o.ema_momentum, overwrites};
}

template <class T>
void Program<T>::Step::fetch_update(std::ptrdiff_t offset) const {
  constexpr int several = 256 / static_cast<int>(sizeof(T)), line = 64 / static_cast<int>(sizeof(T));
  const auto begin = [&](const T* from) {
    for (int i = 0; i < several; i += line) __builtin_prefetch(from + offset + i, 0, 2);
  };
  begin(p.parameters_);
  for (int s = 0; s < plan.rule_slots; ++s) begin(p.slot(s));
}

template <class T>
void Program<T>::Step::spend(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n, const T* g) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(number)];
  const auto one = [&](std::ptrdiff_t at, std::ptrdiff_t count) {
    apply(clip, number, at, count, g + (at - offset));
    if (samples) changed(number, panel_of(v, at), at, count);
    if (steps && plan.rates[static_cast<std::size_t>(v.rate)] != 0)
      settle(spendings[static_cast<std::size_t>(v.rate)], number, at, count);
  };
  if (!samples) return one(offset, n);
  const std::ptrdiff_t block =
      plan.layout.full() * static_cast<std::ptrdiff_t>(panel_width(number, panel_of(v, offset)));
  for (std::ptrdiff_t at = offset; at < offset + n; at += block) {
    const std::ptrdiff_t count = std::min(block, offset + n - at);
    std::copy_n(p.parameters_ + at, count, scratch);
    one(at, count);
  }
}

template <class T>
void Program<T>::Step::apply(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n, const T* g) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(number)];
  const Average<T> averaging = plan.average < 0 ? Average<T>{} : average(offset);
  if (!steps || plan.rates[static_cast<std::size_t>(v.rate)] == 0) {  // the variable keeps its bits
    if (averaging.values != nullptr) k.follow(p.parameters_ + offset, n, averaging);
    return;
  }
  T* slots[most_slots] = {};
  for (int s = 0; s < plan.rule_slots; ++s) slots[s] = p.slot(s) + offset;
  const Spending& how = spendings[static_cast<std::size_t>(v.rate)];
  std::visit(
      [&](const auto& found) {
        k.update(found, clip, v.decays ? how.decay : Decay{}, p.parameters_ + offset, g, slots, n, averaging);
      },
      how.rule);
}

template <class T>
template <class Visit>
void Program<T>::Step::own_slices(const Stage& stage, Visit visit, bool with_kernel, bool with_shared) const {
  const int index = static_cast<int>(&stage - plan.stages.data());
  const auto one = [&](int number, int panel, int width) {
    if (number < 0) return;
    const Variable& v = plan.variables[static_cast<std::size_t>(number)];
    if (v.trainable && plan.completes(number, index))
      visit(number, panel, slice(number, panel), static_cast<std::ptrdiff_t>(width) * (v.inputs == 0 ? 1 : v.inputs));
  };
  const auto both = [&](const Segment& s, int panel, int width) {
    one(s.shift, panel, width);
    one(s.scale, panel, width);
  };
  if (with_kernel && stage.kernel >= 0) {
    const int units = plan.variables[static_cast<std::size_t>(stage.kernel)].units;  // a table's are not the stage's
    own_panels(units, own_range(units, stage.mirrored), [&](int panel, int width) { one(stage.kernel, panel, width); });
  }
  own_panels(stage, [&](int panel, int width) {
    for (const Segment& s : stage.segments)
      if (s.groups.count == 0) both(s, panel, width);
    for (const Segment& s : stage.segments)
      if (!s.shared)
        one(s.learned, panel, width);
      else if (with_shared && panel == 0)
        one(s.learned, 0, plan.layout.lanes);
  });
  for (const Segment& s : stage.segments)
    own_panels(s.groups.count, [&](int panel, int width) { both(s, panel, width); });
}

template <class T>
void Program<T>::Step::update() const {
  const OptimizerSpec& o = plan.spec.optimizer;
  Clip clip;
  if (o.clipvalue) clip.limit = *o.clipvalue;
  if (o.global_clipnorm) clip.scale = shrink(p.gradient_norm(), *o.global_clipnorm);
  for (const Stage& stage : plan.stages)
    own_slices(stage, [&](int number, int, std::ptrdiff_t offset, std::ptrdiff_t n) {
      if (o.clipnorm) clip.scale = shrink(std::sqrt(p.square_sum(static_cast<std::size_t>(number))), *o.clipnorm);
      if (plan.variables[static_cast<std::size_t>(number)].is_table())
        spend_table(clip, number, offset, n);
      else
        spend(clip, number, offset, n);
    });
}

}  // namespace evenflow
