// One step, as one thread of the team sees it: the phases of a training step in order.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "program/program.h"

namespace evenflow {

template <class T>
struct Program<T>::Step {
  Program& p;
  const Plan& plan;
  const Kernels<T>& k;
  Barrier& barrier;
  const int thread, threads, rows;
  const std::int64_t iteration;  // of the optimizer, from 1
  T* const scratch;
  std::optional<double> momentum;  // of this step, in place of the spec's momentum or beta_1

  Step(Program& program, Barrier& meeting, int t, int count, int batch, std::int64_t number)
      : p(program),
        plan(program.plan_),
        k(program.k_),
        barrier(meeting),
        thread(t),
        threads(count),
        rows(batch),
        iteration(number),
        scratch(program.scratch_[static_cast<std::size_t>(t)].data()) {}

  // This thread's panels of `features`: neighbours, balanced by vectors.
  struct Range {
    int first, end;
  };
  Range own_range(int features) const {
    const int vectors = plan.layout.padded(features) / plan.layout.lanes;
    const auto first = [&](int t) {
      return static_cast<int>((std::int64_t{vectors} * t + 2 * threads - 1) / (2 * threads));
    };
    return {first(thread), std::min(first(thread + 1), plan.layout.panels(features))};
  }
  template <class Visit>
  void own_panels(int features, Visit visit) const {
    const Range own = own_range(features);
    for (int panel = own.first; panel < own.end; ++panel) visit(panel, plan.layout.width(features, panel));
  }
  int first_row(int t) const { return static_cast<int>(std::int64_t{rows} * t / threads); }

  T* at(std::ptrdiff_t tensor, int panel) const { return p.activations_ + tensor + panel * plan.panel_stride(); }
  T* gradient(int stage, int panel) const { return p.dz_[stage % 3] + panel * plan.panel_stride(); }
  // The slice of a variable that belongs to a panel.
  std::ptrdiff_t slice(int variable, int panel) const {
    const Variable& v = plan.variables[static_cast<std::size_t>(variable)];
    return v.offset + static_cast<std::ptrdiff_t>(panel) * plan.layout.full() * (v.inputs == 0 ? 1 : v.inputs);
  }
  T* statistic(const Segment& s, int which, int units, int panel) const {
    return p.activations_ + s.statistics + which * plan.layout.padded(units) + panel * plan.layout.full();
  }

  // ---- input

  void gather(const Feed& x, std::int64_t position) const {
    const std::ptrdiff_t product = plan.stages[0].product;
    const int inputs = plan.spec.inputs, full = plan.layout.full();
    const Range own = own_range(inputs);
    const bool as_they_lie = x.holds<T>();
    for (int row = 0; row < rows; ++row) {  // row by row: a row of the data set is a stream
      const char* from = x.row(position + row);
      if (row + 1 < rows) x.prefetch(position + row + 1, own.first * full, std::min(own.end * full, inputs));
      if (as_they_lie) {
        k.spread(at(product, 0), plan.panel_stride(), reinterpret_cast<const T*>(from), row, inputs, own.first,
                 own.end);
        continue;
      }
      own_panels(inputs, [&](int panel, int width) {
        T* to = at(product, panel) + static_cast<std::ptrdiff_t>(row) * width;
        const int count = std::min(width, inputs - panel * full);
        convert_row(to, x, from, panel * full, count);
        std::fill(to + count, to + width, T(0));
      });
    }
    if (plan.factor == 1 && plan.offset == 0) return;
    own_panels(inputs, [&](int panel, int width) {
      k.rescale(at(product, panel), rows, width, plan.factor, plan.offset);
      const int count = inputs - panel * full;
      if (count < width) k.clear_padding(at(product, panel), rows, width, count);
    });
  }

  void gather_targets(const Feed& y, std::int64_t position) const {
    const int padded = plan.layout.padded(plan.units());
    for (int row = first_row(thread); row < first_row(thread + 1); ++row) {
      const char* from = y.row(position + row);
      if (plan.spec.loss == Loss::sparse_categorical_crossentropy)
        convert_row(&p.labels_[row], y, from, 0, 1);
      else
        convert_row(p.targets_ + static_cast<std::ptrdiff_t>(row) * padded, y, from, 0, plan.units());
    }
  }

  // ---- forward

  Columns<T> columns(const Segment& s, int units, int panel, bool batch) const {
    Columns<T> c;
    if (s.form == Affine::none) return c;
    c.shift = s.shift < 0 ? p.zeros_ : p.parameters_ + slice(s.shift, panel);
    if (s.form == Affine::normalize) {
      c.mean = batch ? statistic(s, 0, units, panel) : p.parameters_ + slice(s.mean, panel);
      c.inverse = statistic(s, 2, units, panel);
      c.scale = statistic(s, 3, units, panel);
    }
    return c;
  }

  void forward_columns(const Stage& stage, int panel, int width, bool training) const {
    const int valid = stage.units - panel * plan.layout.full();
    for (const Segment& s : stage.segments) {
      const bool batch = training && s.batch_statistics;
      const T* x = at(s.in, panel);
      if (s.form == Affine::normalize) {
        T *mean = statistic(s, 0, stage.units, panel), *variance = statistic(s, 1, stage.units, panel);
        if (batch) {
          k.moments(mean, variance, x, rows, width);
          k.moving_average(p.parameters_ + slice(s.mean, panel), mean, s.momentum, width);
          k.moving_average(p.parameters_ + slice(s.variance, panel), variance, s.momentum, width);
        } else {
          variance = p.parameters_ + slice(s.variance, panel);
        }
        k.normalizer(statistic(s, 2, stage.units, panel), statistic(s, 3, stage.units, panel), variance,
                     s.scale < 0 ? nullptr : p.parameters_ + slice(s.scale, panel), s.epsilon, width);
      }
      k.activations[s.activation].forward[static_cast<int>(s.form)](
          at(s.out, panel), x, rows, width, columns(s, stage.units, panel, batch), &s.parameter);
      if (valid < width) k.clear_padding(at(s.out, panel), rows, width, valid);
    }
  }

  // From the gathered input to the last stage's output; meets after every stage.
  void forward(bool training) const {
    own_panels(plan.spec.inputs,
               [&](int panel, int width) { forward_columns(plan.stages[0], panel, width, training); });
    barrier.wait(threads);
    for (std::size_t s = 1; s < plan.stages.size(); ++s) {
      const Stage& stage = plan.stages[s];
      own_panels(stage.units, [&](int panel, int width) {
        k.product(at(stage.product, panel), at(plan.stages[s - 1].output, 0), plan.panel_stride(),
                  p.parameters_ + slice(stage.kernel, panel), rows, stage.inputs, width);
        forward_columns(stage, panel, width, training);
      });
      barrier.wait(threads);
    }
  }

  // What the loss would have applied: the prediction, in probabilities_ when there is something to apply.
  const T* finish_output() const {
    const Stage& last = plan.stages.back();
    if (plan.output == Output::plain) return at(last.output, 0);
    if (plan.output == Output::softmax) {
      k.softmax(p.probabilities_, at(last.output, 0), plan.panel_stride(), plan.units(), scratch, first_row(thread),
                first_row(thread + 1));
    } else {
      own_panels(plan.units(), [&](int panel, int width) {
        sigmoid_kernel().forward[0](p.probabilities_ + panel * plan.panel_stride(), at(last.output, panel), rows, width,
                                    {}, nullptr);
      });
    }
    barrier.wait(threads);
    return p.probabilities_;
  }
  const ActivationKernel<T>& sigmoid_kernel() const {
    int i = 0;
    while (std::string("sigmoid") != k.activations[i].name) ++i;
    return k.activations[i];
  }

  // ---- loss

  void loss(bool training) const {
    LossRows<T> in{};
    in.loss = *plan.spec.loss;
    in.output = plan.output;
    in.from_logits = plan.fused_loss;
    in.units = plan.units();
    in.z = at(plan.stages.back().output, 0);
    in.dz = training ? gradient(static_cast<int>(plan.stages.size()) - 1, 0) : nullptr;
    in.stride = plan.panel_stride();
    in.gradient_scale = 1.0 / rows;
    if (in.loss == Loss::sparse_categorical_crossentropy)
      in.labels = p.labels_;
    else
      in.targets = p.targets_;
    in.losses = p.losses_;
    in.metrics = p.metrics_;
    in.metric_stride = plan.capacity;
    in.metric_count = static_cast<int>(plan.spec.metrics.size());
    std::copy(plan.spec.metrics.begin(), plan.spec.metrics.end(), in.metric);
    k.loss(in, scratch, first_row(thread), first_row(thread + 1));
  }

  // ---- backward

  // The gradient of what enters a stage's column operations, and those of their vectors, for one panel.
  void backward_columns(int number, int panel, int width, bool training) const {
    const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
    T* dz = gradient(number, panel);
    for (auto s = stage.segments.rbegin(); s != stage.segments.rend(); ++s) {
      const bool batch = training && s->batch_statistics;
      const Columns<T> c = columns(*s, stage.units, panel, batch);
      const auto place = [&](int variable, int which) {
        return variable >= 0 && plan.variables[static_cast<std::size_t>(variable)].trainable
                   ? p.gradients_ + slice(variable, panel)
                   : statistic(*s, which, stage.units, panel);
      };
      T *dshift = place(s->shift, 4), *dscale = place(s->scale, 5);
      k.activations[s->activation].backward[static_cast<int>(s->form)](dz, at(s->in, panel), at(s->out, panel), rows,
                                                                       width, c, dshift, dscale, &s->parameter);
      if (s->form != Affine::normalize) continue;
      if (batch)
        k.normalize_backward(dz, at(s->in, panel), rows, width, c, dshift, dscale);
      else
        k.scale_columns(dz, rows, width, c.scale);
    }
  }

  // dz of a stage, from the stage above it unless it is the last.
  void backward_stage(int number, bool training) const {
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

  // The kernel's gradient of one stage. With a rule, every block of it is spent while it is in cache.
  template <class Spend>
  void weight_gradient(int number, Spend spend) const {
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
  void weight_gradient(int number) const {
    weight_gradient(number, [](std::ptrdiff_t, std::ptrdiff_t) {});
  }

  // ---- update

  // What one step does to every parameter: the rule, and the share of p that weight decay takes first.
  struct Spending {
    AnyRule rule;
    double decay;
  };
  Spending rule(double rate, double momenta) const {
    const OptimizerSpec& o = plan.spec.optimizer;
    const Moment at{rate, static_cast<double>(iteration), momenta, momentum ? &*momentum : nullptr};
    const auto any = [](auto found) { return AnyRule(found); };
    return {std::visit([&](const auto& optimizer) { return optimizer.rule(at, any); }, *o.optimizer),
            o.weight_decay * rate};
  }
  void spend(const Spending& how, Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const {
    T* slots[most_slots] = {};
    for (std::size_t s = 0; s < plan.slots.size(); ++s) slots[s] = p.slot(static_cast<int>(s)) + offset;
    const double decay = plan.variables[static_cast<std::size_t>(number)].decays ? how.decay : 0;
    std::visit(
        [&](const auto& found) {
          k.update(found, clip, decay, p.parameters_ + offset, p.gradients_ + offset, slots, n);
        },
        how.rule);
  }

  // f(variable number, offset, n) for this thread's slices of a stage's trainable variables.
  template <class Visit>
  void own_slices(const Stage& stage, Visit visit, bool with_kernel = true) const {
    own_panels(stage.units, [&](int panel, int width) {
      const auto one = [&](int number) {
        if (number < 0) return;
        const Variable& v = plan.variables[static_cast<std::size_t>(number)];
        if (v.trainable)
          visit(number, panel, slice(number, panel),
                static_cast<std::ptrdiff_t>(width) * (v.inputs == 0 ? 1 : v.inputs));
      };
      if (with_kernel) one(stage.kernel);
      for (const Segment& s : stage.segments) {
        one(s.shift);
        one(s.scale);
      }
    });
  }

  bool needs_norm() const { return plan.spec.optimizer.clipnorm || plan.spec.optimizer.global_clipnorm; }

  // The square sum of each variable's gradient, panel after panel, whatever the threads.
  double variable_square_sum(std::size_t number) const {
    const Variable& v = plan.variables[number];
    double total = 0;
    for (int panel = 0; panel < plan.layout.panels(v.units); ++panel)
      total += p.square_sums_[panel * static_cast<std::ptrdiff_t>(plan.variables.size()) +
                              static_cast<std::ptrdiff_t>(number)];
    return total;
  }
  double global_norm() const {
    double total = 0;
    for (std::size_t i = 0; i < plan.variables.size(); ++i)
      if (plan.variables[i].trainable) total += variable_square_sum(i);
    return std::sqrt(total);
  }
  static double shrink(double norm, double limit) { return norm <= limit ? 1 : limit / norm; }

  // Clips and applies the optimizer to everything this thread owns; returns the global norm if it is wanted or needed.
  double update(const Spending& how, bool want_norm = false) const {
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

  // ---- a training step after the loss: backward and update

  double learn(const Spending& how, bool fused) const {
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
};

}  // namespace evenflow
