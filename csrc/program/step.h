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
  Draws draws;
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

  // Where a segment leaves its result.
  std::ptrdiff_t result(const Segment& s) const { return draws.on ? s.out : s.quiet; }

  // ---- random layers (random.h)

  Draw draw(const Segment& s, int panel) const;
  // False where the segment's activation is to take the place of the random layer.
  bool forward_noise(const Segment& s, int panel, int width, int valid) const;
  bool backward_noise(const Segment& s, int panel, int width, T* dz) const;

  // ---- input (forward.h)

  void gather(const Feed& x, std::int64_t position) const;
  void gather_targets(const Feed& y, std::int64_t position) const;

  // ---- forward (forward.h)

  Columns<T> columns(const Segment& s, int units, int panel, bool batch) const;
  void forward_columns(const Stage& stage, int panel, int width, bool training) const;
  // From the gathered input, or the stage below `first`, to the last stage's output; meets after every stage.
  void forward(bool training, int first = 0) const;
  // What the loss would have applied: the prediction, in probabilities_ when there is something to apply.
  const T* finish_output() const;
  const ActivationKernel<T>& sigmoid_kernel() const;

  // ---- loss (forward.h)

  void loss(bool training) const;

  // ---- backward (backward.h)

  // The gradient of what enters a stage's column operations, and those of their vectors, for one panel.
  void backward_columns(int number, int panel, int width, bool training) const;
  // dz of a stage, from the stage above it unless it is the last.
  void backward_stage(int number, bool training) const;
  // The kernel's gradient of one stage. With a rule, every block of it is spent while it is in cache.
  template <class Spend>
  void weight_gradient(int number, Spend spend) const;
  void weight_gradient(int number) const;

  // ---- update (update.h)

  // What one step does to every parameter: the rule, and the share of p that weight decay takes first.
  struct Spending {
    AnyRule rule;
    double decay;
  };
  Spending rule(double rate, double momenta) const;
  void spend(const Spending& how, Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const;
  // f(variable number, offset, n) for this thread's slices of a stage's trainable variables.
  template <class Visit>
  void own_slices(const Stage& stage, Visit visit, bool with_kernel = true) const;
  bool needs_norm() const { return plan.spec.optimizer.clipnorm || plan.spec.optimizer.global_clipnorm; }
  // The square sum of each variable's gradient, panel after panel, whatever the threads.
  double variable_square_sum(std::size_t number) const;
  double global_norm() const;
  static double shrink(double norm, double limit) { return norm <= limit ? 1 : limit / norm; }
  // Clips and applies the optimizer to everything this thread owns; returns the global norm if it is wanted or needed.
  double update(const Spending& how, bool want_norm = false) const;

  // ---- a training step after the loss (backward.h)

  // Backward and update.
  double learn(const Spending& how, bool fused) const;
};

}  // namespace evenflow

#include "program/backward.h"
#include "program/forward.h"
#include "program/random.h"
#include "program/update.h"
