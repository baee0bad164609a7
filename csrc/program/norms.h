// What becomes of gradients as they are written: sums over several batches, and norms.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
double Program<T>::panel_sum(const double* sums, std::size_t variable) const {
  double total = 0;
  for (int panel = 0; panel < plan_.layout.panels(plan_.variables[variable].units); ++panel)
    total += sums[static_cast<std::size_t>(panel) * plan_.variables.size() + variable];
  return total;
}

template <class T>
double Program<T>::gradient_norm() const {
  double total = 0;
  for (std::size_t i = 0; i < plan_.variables.size(); ++i)
    if (plan_.variables[i].trainable) total += square_sum(i);
  return std::sqrt(total);
}

template <class T>
void Program<T>::note_norms(double* of_variables) const {
  for (std::size_t i = 0; i < plan_.variables.size(); ++i)
    if (plan_.variables[i].trainable) *of_variables++ = std::sqrt(square_sum(i));
}

template <class T>
std::vector<double> Program<T>::gradient_norms() const {
  std::vector<double> all(static_cast<std::size_t>(plan_.trained));
  note_norms(all.data());
  return all;
}

template <class T>
void Program<T>::Step::written(int number, int panel, int part, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  if (accumulates) {
    touch(number, offset, n);
    k.accumulate(p.gradients_ + offset, p.slot(plan.accumulator) + offset, n,
                 steps ? 1.0 / plan.spec.optimizer.accumulation : 0);
  }
  if (!measures) return;
  const double found = k.square_sum(p.gradients_ + offset, n);
  double* sum = p.panel_square_sum(static_cast<std::size_t>(number), panel);
  *sum = part == 0 ? found : *sum + found;
}

template <class T>
void Program<T>::Step::read_gradients() const {
  for (int number = 0; number < static_cast<int>(plan.stages.size()); ++number) {
    const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
    if (stage.kernel >= 0 && plan.completes(stage.kernel, number))
      own_blocks(number, [&](int panel, int part, std::ptrdiff_t offset, int count, int width) {
        written(stage.kernel, panel, part, offset, static_cast<std::ptrdiff_t>(count) * width);
      });
    own_slices(
        stage, [&](int v, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) { written(v, panel, 0, offset, n); },
        false);
  }
}

}  // namespace evenflow
