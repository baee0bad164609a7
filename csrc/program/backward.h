// Backward pass of a step, and how it and the update share their visits.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
void Program<T>::Step::backward_segment(int number, const Segment& s, int panel, int width, bool training) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  T* dz = gradient(number, panel);
  if (s.noise.kind >= 0 && backward_noise(s, panel, width, dz)) return;
  const bool batch = training && s.batch_statistics, shared = s.groups.count > 0;
  const Columns<T> c = columns(s, stage.units, panel, batch);
  const auto trained = [&](int variable) {
    return variable >= 0 && plan.variables[static_cast<std::size_t>(variable)].trainable;
  };
  const auto place = [&](int variable, int which) {
    return !shared && trained(variable) && !plan.adds(variable, number) ? p.gradients_ + slice(variable, panel)
                                                                        : statistic(s, which, stage.units, panel);
  };
  T *dshift = place(s.shift, 4), *dscale = place(s.scale, 5);
  if (s.activity.active())
    k.penalize(dz, at(result(s), panel), static_cast<std::ptrdiff_t>(rows) * width, s.activity.over(rows));
  k.activations[s.activation].backward[static_cast<int>(s.form)](dz, at(s.in, panel), at(result(s), panel), rows, width,
                                                                 c, dshift, dscale, s.parameters.data());
  if (s.form == Affine::normalize && !batch)
    k.scale_columns(dz, rows, width, c.scale);
  else if (s.form == Affine::normalize && !shared)
    k.normalize_backward(dz, at(s.in, panel), rows, width, c, dshift, dscale);
  const auto add = [&](int variable, const T* own) {
    if (trained(variable) && plan.adds(variable, number)) k.add(p.gradients_ + slice(variable, panel), own, width);
  };
  if (!s.shared) add(s.learned, c.dlearned);
  if (s.learned >= 0 && !s.shared && plan.completes(s.learned, number))
    penalize(s.learned, panel, slice(s.learned, panel), width);
  if (shared) return;  // the sums of groups come later
  add(s.shift, dshift);
  add(s.scale, dscale);
  for (int variable : {s.shift, s.scale})
    if (variable >= 0 && plan.completes(variable, number)) penalize(variable, panel, slice(variable, panel), width);
}

template <class T>
void Program<T>::Step::backward_columns(int number, int panel, int width, bool training) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  for (auto s = stage.segments.rbegin(); s != stage.segments.rend(); ++s)
    backward_segment(number, *s, panel, width, training);
}

template <class T>
void Program<T>::Step::backward_stage(int number, bool training) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  if (!stage.shared) {
    own_panels(stage, [&](int panel, int width) {
      pull_all(number, panel, width);
      backward_columns(number, panel, width, training);
    });
    return;
  }
  own_panels(stage, [&](int panel, int width) { pull_all(number, panel, width); });
  for (auto s = stage.segments.rbegin(); s != stage.segments.rend(); ++s) {
    own_panels(stage, [&](int panel, int width) { backward_segment(number, *s, panel, width, training); });
    if (s->groups.count > 0 && s->source == Statistics::tracked)
      share_sums(number, *s, training && s->batch_statistics);
  }
}

template <class T>
void Program<T>::Step::backward_rows(int number) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  const int source = stage.from[0];
  const bool alone = plan.alone(plan.stages[static_cast<std::size_t>(source)]);
  T* dx = gradient(alone ? source : number, 0);
  const T *dy = gradient(number, 0), *y = at(stage.product, 0);
  if (stage.map == Map::row_activation)
    k.output_backward(stage.row_activation, dx, dy, y, plan.panel_stride(), stage.units, scratch, first_row(thread),
                      first_row(thread + 1));
  else
    k.normalize_rows_backward(dx, dy, y, p.activations_ + stage.inverses, plan.panel_stride(), stage.units,
                              stage.map == Map::layer_normalization, scratch, first_row(thread), first_row(thread + 1));
}

template <class T>
template <class Visit>
void Program<T>::Step::own_blocks(int number, Visit visit, bool by_inputs) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  if (stage.kernel < 0) return;
  const Variable& kernel = plan.variables[static_cast<std::size_t>(stage.kernel)];  // not always as wide as the stage
  if (!kernel.trainable) return;
  const Stage& below = plan.stages[static_cast<std::size_t>(stage.from[0])];
  const Range own = by_inputs ? Range{0, plan.layout.panels(kernel.units)} : own_range(kernel.units, stage.mirrored);
  const Range parts = by_inputs ? own_range(below) : Range{0, plan.layout.panels(kernel.inputs)};
  own_panels(kernel.units, own, [&](int panel, int width) {
    for (int part = parts.first; part < parts.end; ++part) {
      const int first = part * plan.layout.full();
      const int count = std::min(plan.layout.full(), kernel.inputs - first);
      visit(panel, part, slice(stage.kernel, panel) + static_cast<std::ptrdiff_t>(first) * width, count, width);
    }
  });
}

template <class T>
template <class Visit>
void Program<T>::Step::weight_gradient(int number, Visit visit) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  if (stage.kernel < 0) return;
  if (stage.map == Map::embedding) return table_gradient(number, visit);
  const Stage& below = plan.stages[static_cast<std::size_t>(stage.from[0])];
  const Variable& kernel = plan.variables[static_cast<std::size_t>(stage.kernel)];
  const bool adds = plan.adds(stage.kernel, number), completes = plan.completes(stage.kernel, number);
  const Regularization& regularization = kernel.regularization;
  const bool passes = passing && !measures && !accumulates && !adds && completes && !regularization.penalized();
  // One panel would be one thread's work. What is counted or limited over a panel is left to its owner.
  const bool by_inputs = passes && stage.map == Map::linear && plan.layout.panels(kernel.units) == 1 &&
                         below.map != Map::gather && !samples && !regularization.settles();
  const Range own = own_range(kernel.units, stage.mirrored);
  const int blocks = (own.end - own.first) * plan.layout.panels(kernel.inputs);
  int block = 0;
  const auto one = [&](int panel, int part, std::ptrdiff_t offset, int count, int width) {
    const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(count) * width;
    T *const to = p.gradients_ + offset, *const g = passes ? scratch : to;
    if (passing && completes) fetch_update(offset);
    if (below.map == Map::gather && next != nullptr) fetch_rows(below, block++, blocks);
    const bool transposed = stage.map == Map::transposed;  // dw = dz^T x in place of x^T dz
    k.weight_gradient(adds ? scratch : g, transposed ? gradient(number, part) : at(below.output, part),
                      transposed ? at(below.output, panel) : gradient(number, panel), rows,
                      plan.layout.width(kernel.inputs, part), count, width);
    if (adds) k.add(to, scratch, n);
    if (!completes) return;
    penalize(stage.kernel, panel, offset, n);
    if (measures || accumulates) written(stage.kernel, panel, part, offset, n);
    visit(offset, n, g);
  };
  own_blocks(number, one, by_inputs);
}

template <class T>
void Program<T>::Step::gradients(int number) const {
  weight_gradient(number, [](std::ptrdiff_t, std::ptrdiff_t, const T*) {});
  if (!measures && !accumulates) return;
  own_slices(
      plan.stages[static_cast<std::size_t>(number)],
      [&](int v, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) { written(v, panel, 0, offset, n); }, false,
      false);
}

template <class T>
void Program<T>::Step::gradients_and_update(int number) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  Clip clip;
  if (plan.spec.optimizer.clipvalue) clip.limit = *plan.spec.optimizer.clipvalue;
  merge_learned(stage);
  weight_gradient(
      number, [&](std::ptrdiff_t offset, std::ptrdiff_t n, const T* g) { spend(clip, stage.kernel, offset, n, g); });
  own_slices(
      stage,
      [&](int v, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) {
        if (measures || accumulates) written(v, panel, 0, offset, n);
        spend(clip, v, offset, n);
      },
      false);
}

template <class T>
void Program<T>::Step::follow(const Schedule& schedule, bool training) const {
  for (const Operation& operation : schedule) switch (operation.kind) {
      case Operation::meet:
        barrier.wait(threads);
        break;
      case Operation::slopes:
        backward_stage(operation.stage, training);
        break;
      case Operation::rows:
        backward_rows(operation.stage);
        break;
      case Operation::weights:
        gradients(operation.stage);
        break;
      case Operation::weights_and_update:
        gradients_and_update(operation.stage);
        break;
    }
}

template <class T>
void Program<T>::Step::learn(bool fused) const {
  if (plan.fused.empty()) return;
  follow(fused ? plan.fused : plan.separate, true);
  if (fused) return;
  merge_learned();
  update();
}

}  // namespace evenflow
