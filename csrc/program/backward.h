// Backward pass of a step, and how it and the update share their visits.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
void Program<T>::Step::backward_columns(int number, int panel, int width, bool training) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  T* dz = gradient(number, panel);
  for (auto s = stage.segments.rbegin(); s != stage.segments.rend(); ++s) {
    if (s->noise.kind >= 0 && backward_noise(*s, panel, width, dz)) continue;
    const bool batch = training && s->batch_statistics;
    const Columns<T> c = columns(*s, stage.units, panel, batch);
    const auto place = [&](int variable, int which) {
      return variable >= 0 && plan.variables[static_cast<std::size_t>(variable)].trainable
                 ? p.gradients_ + slice(variable, panel)
                 : statistic(*s, which, stage.units, panel);
    };
    T *dshift = place(s->shift, 4), *dscale = place(s->scale, 5);
    k.activations[s->activation].backward[static_cast<int>(s->form)](dz, at(s->in, panel), at(result(*s), panel), rows,
                                                                     width, c, dshift, dscale, &s->parameter);
    if (s->form != Affine::normalize) continue;
    if (batch)
      k.normalize_backward(dz, at(s->in, panel), rows, width, c, dshift, dscale);
    else
      k.scale_columns(dz, rows, width, c.scale);
  }
}

template <class T>
void Program<T>::Step::backward_stage(int number, bool training) const {
  const int last = static_cast<int>(plan.stages.size()) - 1;
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  own_panels(stage.units, [&](int panel, int width) {
    if (number < last) {
      const Stage& above = plan.stages[static_cast<std::size_t>(number) + 1];
      k.transpose(scratch, p.parameters_ + plan.variables[static_cast<std::size_t>(above.kernel)].offset, stage.units,
                  above.units, panel * plan.layout.full(), width);
      k.product(gradient(number, panel), gradient(number + 1, 0), plan.panel_stride(), scratch, rows, above.units,
                width);
    }
    backward_columns(number, panel, width, training);
  });
}

template <class T>
template <class Spend>
void Program<T>::Step::weight_gradient(int number, Spend spend) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  if (stage.kernel < 0 || !plan.variables[static_cast<std::size_t>(stage.kernel)].trainable) return;
  const Stage& below = plan.stages[static_cast<std::size_t>(number) - 1];
  own_panels(stage.units, [&](int panel, int width) {
    for (int part = 0; part < plan.layout.panels(stage.inputs); ++part) {
      const int first = part * plan.layout.full();
      const int count = std::min(plan.layout.full(), stage.inputs - first);
      const std::ptrdiff_t offset = slice(stage.kernel, panel) + static_cast<std::ptrdiff_t>(first) * width;
      k.weight_gradient(p.gradients_ + offset, at(below.output, part), gradient(number, panel), rows,
                        plan.layout.width(stage.inputs, part), count, width);
      spend(offset, static_cast<std::ptrdiff_t>(count) * width);
    }
  });
}

template <class T>
void Program<T>::Step::weight_gradient(int number) const {
  weight_gradient(number, [](std::ptrdiff_t, std::ptrdiff_t) {});
}

template <class T>
double Program<T>::Step::learn(const Spending& how, bool fused) const {
  const int last = static_cast<int>(plan.stages.size()) - 1;
  if (plan.lowest > last) return 0;
  Clip clip;
  if (plan.spec.optimizer.clipvalue) clip.limit = *plan.spec.optimizer.clipvalue;
  // A kernel may change once nobody computes the gradient below it any more: two phases after its own.
  const auto finish = [&](int number) {
    const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
    weight_gradient(number,
                    [&](std::ptrdiff_t offset, std::ptrdiff_t n) { spend(how, clip, stage.kernel, offset, n); });
    own_slices(
        stage, [&](int v, int, std::ptrdiff_t offset, std::ptrdiff_t n) { spend(how, clip, v, offset, n); }, false);
  };
  for (int number = last; number >= plan.lowest; --number) {
    backward_stage(number, true);
    if (!fused) weight_gradient(number);
    if (fused && number + 2 <= last) finish(number + 2);
    barrier.wait(threads);
  }
  if (!fused) return update(how);
  if (plan.lowest + 1 <= last) finish(plan.lowest + 1);
  finish(plan.lowest);
  return 0;
}

}  // namespace evenflow
