// Norms, clipping and the update rule of a step.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
typename Program<T>::Step::Spending Program<T>::Step::rule(double rate, double momenta) const {
  const OptimizerSpec& o = plan.spec.optimizer;
  const Moment at{rate, static_cast<double>(iteration), momenta, momentum ? &*momentum : nullptr};
  const auto any = [](auto found) { return AnyRule(found); };
  return {std::visit([&](const auto& optimizer) { return optimizer.rule(at, any); }, *o.optimizer),
          o.weight_decay * rate};
}

template <class T>
void Program<T>::Step::spend(const Spending& how, Clip clip, int number, std::ptrdiff_t offset,
                             std::ptrdiff_t n) const {
  T* slots[most_slots] = {};
  for (std::size_t s = 0; s < plan.slots.size(); ++s) slots[s] = p.slot(static_cast<int>(s)) + offset;
  const double decay = plan.variables[static_cast<std::size_t>(number)].decays ? how.decay : 0;
  std::visit(
      [&](const auto& found) { k.update(found, clip, decay, p.parameters_ + offset, p.gradients_ + offset, slots, n); },
      how.rule);
}

template <class T>
template <class Visit>
void Program<T>::Step::own_slices(const Stage& stage, Visit visit, bool with_kernel) const {
  own_panels(stage.units, [&](int panel, int width) {
    const auto one = [&](int number) {
      if (number < 0) return;
      const Variable& v = plan.variables[static_cast<std::size_t>(number)];
      if (v.trainable)
        visit(number, panel, slice(number, panel), static_cast<std::ptrdiff_t>(width) * (v.inputs == 0 ? 1 : v.inputs));
    };
    if (with_kernel) one(stage.kernel);
    for (const Segment& s : stage.segments) {
      one(s.shift);
      one(s.scale);
    }
  });
}

template <class T>
double Program<T>::Step::variable_square_sum(std::size_t number) const {
  const Variable& v = plan.variables[number];
  double total = 0;
  for (int panel = 0; panel < plan.layout.panels(v.units); ++panel)
    total += p.square_sums_[panel * static_cast<std::ptrdiff_t>(plan.variables.size()) +
                            static_cast<std::ptrdiff_t>(number)];
  return total;
}

template <class T>
double Program<T>::Step::global_norm() const {
  double total = 0;
  for (std::size_t i = 0; i < plan.variables.size(); ++i)
    if (plan.variables[i].trainable) total += variable_square_sum(i);
  return std::sqrt(total);
}

template <class T>
double Program<T>::Step::update(const Spending& how, bool want_norm) const {
  const OptimizerSpec& o = plan.spec.optimizer;
  double norm = 0;
  if (want_norm || needs_norm()) {
    for (const Stage& stage : plan.stages)
      own_slices(stage, [&](int number, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) {
        p.square_sums_[panel * static_cast<std::ptrdiff_t>(plan.variables.size()) + number] =
            k.square_sum(p.gradients_ + offset, n);
      });
    barrier.wait(threads);
    norm = global_norm();
  }
  for (const Stage& stage : plan.stages)
    own_slices(stage, [&](int number, int, std::ptrdiff_t offset, std::ptrdiff_t n) {
      Clip clip;
      if (o.clipvalue) clip.limit = *o.clipvalue;
      if (o.clipnorm)
        clip.scale = shrink(std::sqrt(variable_square_sum(static_cast<std::size_t>(number))), *o.clipnorm);
      if (o.global_clipnorm) clip.scale = shrink(norm, *o.global_clipnorm);
      spend(how, clip, number, offset, n);
    });
  return norm;
}

}  // namespace evenflow
