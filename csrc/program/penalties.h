// Regularizers and constraints of a step. Penalties are added where a gradient is written; what changes parameters
// comes right after their update. Both are done by the thread that owns the panel.
#pragma once

#include <numeric>

#include "program/step.h"

namespace evenflow {

template <class T>
void Program<T>::Step::penalize(int number, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(number)];
  const Regularization& r = v.regularization;
  if (!r.penalized() || !v.trainable) return;
  if (r.orthogonal.factor != 0)
    for (std::size_t i = 0; i < plan.orthogonals.size(); ++i)
      if (plan.orthogonals[i].variable == number) {
        const Orthogonality<T> of = orthogonality(i);
        k.add(p.gradients_ + offset, of.gradient + panel * of.gradient_stride() + (offset - slice(number, panel)), n);
      }
  if (!r.penalty.active()) return;
  double& sum = penalty_sum(number, panel);
  if (offset == slice(number, panel)) sum = 0;
  sum += k.penalize(r.proximal ? nullptr : p.gradients_ + offset, p.parameters_ + offset, n, r.penalty);
}

template <class T>
Orthogonality<T> Program<T>::Step::orthogonality(std::size_t i) const {
  const Plan::Orthogonals& at = plan.orthogonals[i];
  const Variable& v = plan.variables[static_cast<std::size_t>(at.variable)];
  T* const base = p.activations_;
  return {k,
          v.inputs,
          v.units,
          v.regularization.orthogonal,
          base + at.vectors,
          base + at.inverses,
          base + at.pairs,
          base + at.slopes,
          base + at.gradient,
          p.orthogonal_sums_[i].data()};
}

template <class T>
void Program<T>::Step::orthogonalize(bool with_gradient) const {
  for (std::size_t i = 0; i < plan.orthogonals.size(); ++i)
    orthogonality(i).run(
        p.parameters_ + plan.variables[static_cast<std::size_t>(plan.orthogonals[i].variable)].offset, with_gradient,
        [&](int features, auto visit) { own_panels(features, visit); }, [&] { barrier.wait(threads); });
}

template <class T>
void Program<T>::Step::sum_penalties() const {
  orthogonalize(false);
  for (const Stage& stage : plan.stages)
    own_slices(stage, [&](int number, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) {
      const Penalty& penalty = plan.variables[static_cast<std::size_t>(number)].regularization.penalty;
      if (!penalty.active()) return;
      // in the blocks of the backward pass, so that it gives the same bits
      const std::ptrdiff_t block = plan.layout.full() * static_cast<std::ptrdiff_t>(panel_width(number, panel));
      double& sum = penalty_sum(number, panel) = 0;
      for (std::ptrdiff_t at = 0; at < n; at += block)
        sum += k.penalize(nullptr, p.parameters_ + offset + at, std::min(block, n - at), penalty);
    });
}

template <class T>
double Program<T>::Step::weight_penalty() const {
  double total = 0;
  for (std::size_t i = 0; i < plan.variables.size(); ++i) {
    const Variable& v = plan.variables[i];
    if (!v.trainable || !v.regularization.penalty.active()) continue;
    for (int panel = 0; panel < plan.layout.panels(v.units); ++panel) total += penalty_sum(static_cast<int>(i), panel);
  }
  for (const std::vector<double>& sums : p.orthogonal_sums_) total = std::accumulate(sums.begin(), sums.end(), total);
  return total;
}

template <class T>
double Program<T>::Step::activity_penalty() const {
  double total = 0;
  for (const Stage& stage : plan.stages)
    for (const Segment& s : stage.segments)
      if (s.activity.active())
        for (int panel = 0; panel < plan.layout.panels(stage.units); ++panel) total += activity_sum(s, panel);
  return total;
}

template <class T>
void Program<T>::Step::settle(const Spending& how, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(number)];
  const Regularization& r = v.regularization;
  if (!r.settles()) return;
  const double threshold = how.rate * r.penalty.l1;
  if (r.proximal && threshold > 0) k.soft_threshold(p.parameters_ + offset, n, threshold);
  if (r.nonnegative) k.keep_nonnegative(p.parameters_ + offset, n);
  if (!r.norms || !v.limits_panels()) return;
  const int panel = panel_of(v, offset);
  const int width = panel_width(number, panel);
  T* w = p.parameters_ + slice(number, panel);
  // A norm is that of all inputs: it waits for the panel's last block.
  if (p.parameters_ + offset + n == w + static_cast<std::ptrdiff_t>(width) * v.inputs)
    k.limit_norms(w, v.inputs, width, *r.norms);
}

template <class T>
void Program<T>::Step::limit_across() const {
  if (!plan.norms_across || !steps) return;
  barrier.wait(threads);
  for (const Variable& v : plan.variables) {
    const Regularization& r = v.regularization;
    if (!v.trainable || !r.norms || v.limits_panels() || plan.rates[static_cast<std::size_t>(v.rate)] == 0) continue;
    T* const w = p.parameters_ + v.offset;
    if (r.along == Regularization::units) {  // each row is one thread's
      const int rows_of_it = v.is_table() ? v.rows : v.inputs;
      const auto first = [&](int t) { return static_cast<int>(std::int64_t{rows_of_it} * t / threads); };
      if (v.is_table())
        for (std::ptrdiff_t row = first(thread); row < first(thread + 1); ++row)
          k.limit_norm(w + row * v.columns, v.columns, *r.norms);
      else
        k.limit_row_norms(w, plan.layout.full() * static_cast<std::ptrdiff_t>(v.inputs), v.units, *r.norms,
                          first(thread), first(thread + 1));
    } else if (thread == 0 && v.is_table() && r.along == Regularization::inputs) {
      k.limit_norms(w, v.rows, v.columns, *r.norms);
    } else if (thread == 0) {
      k.limit_norm(w, v.size, *r.norms);
    }
  }
}

}  // namespace evenflow
