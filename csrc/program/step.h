// One step, as one thread of the team sees it: the phases of a training step in order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "program/orthogonality.h"
#include "program/program.h"

namespace evenflow {

template <class T>
struct Program<T>::Step {
  Program& p;
  const Plan& plan;
  const Kernels<T>& k;
  Barrier& barrier;
  const int thread, threads, rows;
  const std::int64_t step;  // of the optimizer, from 1: the one that this batch belongs to
  const bool steps;         // whether this batch is its last
  T* const scratch;
  std::vector<Spending>& spendings;
  Draws draws;
  std::optional<double> momentum;  // of this step, in place of the spec's momentum or beta_1
  const Feeds* next = nullptr;     // the inputs from next_position on: the rows of the batch that follows
  std::int64_t next_position = 0;
  bool passing = false;          // gradients that the update has used up are not kept
  bool measures = false;         // the norms of gradients, as they are written
  bool accumulates = false;      // gradients, as they are written
  Health* health = nullptr;      // counts what is seen on the way
  bool samples = false;          // all of it, in this step
  std::int64_t rows_before = 0;  // of those that it sampled

  Step(Program& program, Barrier& meeting, int t, int count, int batch, std::int64_t number)
      : p(program),
        plan(program.plan_),
        k(program.k_),
        barrier(meeting),
        thread(t),
        threads(count),
        rows(batch),
        step((number + program.plan_.spec.optimizer.accumulation - 1) / program.plan_.spec.optimizer.accumulation),
        steps(step * program.plan_.spec.optimizer.accumulation == number),
        scratch(on_line(program.scratch_[static_cast<std::size_t>(t)].data())),
        spendings(program.spendings_[static_cast<std::size_t>(t)]) {}

  // This thread's panels of `features`: neighbours, balanced by vectors.
  struct Range {
    int first, end;
  };
  Range own_range(int features, bool mirrored = false) const {
    const int vectors = plan.layout.padded(features) / plan.layout.lanes;
    const auto first = [&](int t) {
      return static_cast<int>((std::int64_t{vectors} * t + 2 * threads - 1) / (2 * threads));
    };
    const int place = mirrored ? threads - 1 - thread : thread;
    return {first(place), std::min(first(place + 1), plan.layout.panels(features))};
  }
  Range own_range(const Stage& stage) const { return own_range(stage.units, stage.mirrored); }
  template <class Visit>
  void own_panels(int features, Visit visit) const {
    own_panels(features, own_range(features), visit);
  }
  template <class Visit>
  void own_panels(const Stage& stage, Visit visit) const {
    own_panels(stage.units, own_range(stage), visit);
  }
  template <class Visit>
  void own_panels(int features, Range own, Visit visit) const {
    for (int panel = own.first; panel < own.end; ++panel) visit(panel, plan.layout.width(features, panel));
  }
  int first_row(int t) const { return static_cast<int>(std::int64_t{rows} * t / threads); }

  T* at(std::ptrdiff_t tensor, int panel) const { return p.activations_ + tensor + panel * plan.panel_stride(); }
  T* gradient(int stage, int panel) const {
    return p.dz_[static_cast<std::size_t>(plan.stages[static_cast<std::size_t>(stage)].gradient_buffer)] +
           panel * plan.panel_stride();
  }
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

  // For the stages from `first` on.
  void gather(const Feeds& x, std::int64_t position, int first = 0) const;
  void gather(const Stage& stage, const Feed& x, std::int64_t position) const;
  // Asks for the part of the next batch's rows that goes with a part of the work on what reads this stage.
  void fetch_rows(const Stage& stage, int part, int parts) const;
  void gather_targets(std::size_t head, const Feed& y, std::int64_t position) const;
  void gather_weights(std::size_t head, const Run& run, std::int64_t position) const;

  // ---- forward (forward.h)

  Columns<T> columns(const Segment& s, int units, int panel, bool batch) const;
  void forward_segment(const Stage& stage, const Segment& s, int panel, int width, bool training) const;
  void forward_columns(const Stage& stage, int panel, int width, bool training) const;
  void forward_stage(const Stage& stage, bool training) const;
  // This thread's rows of a stage of one panel.
  void forward_own_rows(const Stage& stage) const;
  bool by_rows(const Stage& stage) const { return stage.by_rows && p.fusion_ && health == nullptr; }
  void forward_rows(const Stage& stage) const;
  // From the gathered inputs, or the stages below `first`, to the last stage's output; meets at the end, or does not
  // where each thread goes on with the rows that it made.
  void forward(bool training, int first = 0, bool own_rows_next = false) const;
  // What the loss would have applied: an output's prediction, in its probabilities when there is something to apply.
  const T* finish_output(std::size_t head) const;
  // This thread's rows of all predictions, [rows][units] each; meets.
  void collect_outputs(const std::vector<T*>& to) const;
  const ActivationKernel<T>& sigmoid_kernel() const;

  // ---- several stages (merges.h)

  void copy_features(T* to, int to_units, int to_first, const T* from, int from_units, int first, int count) const;
  // A panel of what the stage's column operations start from.
  void map_panel(const Stage& stage, int panel, int width) const;
  // And of the gradient of its output: what one reader has to add, and the sum of all.
  void pull(T* to, const Stage& stage, const Stage::Reader& reader, int panel, int width) const;
  void pull_all(int number, int panel, int width) const;

  // ---- ids (ids.h)

  // Of the features [begin, end) of a stage, each piece that one id of a row gives: visit(piece, its first lane).
  template <class Visit>
  void each_embedded(const Stage& stage, int panel, int width, Visit visit) const;
  void embed_panel(const Stage& stage, int panel, int width) const;
  void encode_panel(const Stage& stage, int panel, int width) const;
  void discretize_panel(const Stage& stage, int panel, int width) const;
  // The gradient of this thread's pieces of a table: rows that no id of the batch names have none, and where a gradient
  // of zero changes nothing they are not visited. visit as weight_gradient has it.
  template <class Visit>
  void table_gradient(int number, Visit visit) const;
  void add_embedded(int number, std::ptrdiff_t begin, std::ptrdiff_t end) const;
  // Of a table's gradient: it is about to be written here; each run of strips here that was, visit(offset, n); and
  // those are zeroed.
  void touch(int variable, std::ptrdiff_t offset, std::ptrdiff_t n) const;
  template <class Visit>
  void each_written(int table, std::ptrdiff_t offset, std::ptrdiff_t n, Visit visit) const;
  bool has_written(int table, std::ptrdiff_t offset, std::ptrdiff_t n) const {
    return std::memchr(p.marks(table, offset), 1, static_cast<std::size_t>((n + strip - 1) / strip)) != nullptr;
  }
  void clear_written(int table, std::ptrdiff_t offset, std::ptrdiff_t n) const;
  // Whether a gradient of zero changes neither the variable nor what belongs to it.
  bool rests_at_zero(const Variable& v) const;
  void spend_table(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const;

  // ---- normalization (normalization.h)

  // The slice of a vector that belongs to a panel of features: the variable itself, or what was spread from its groups.
  const T* vector(const Segment& s, int variable, int which, int units, int panel) const;
  T* group_statistic(const Segment& s, int which, int units, int panel) const;
  // The share of the batch's variance in the moving one.
  double variance_share(const Segment& s) const;
  // What a panel's (x - mean) is multiplied by, after the batch's statistics where those are wanted.
  void normalizer(const Stage& stage, const Segment& s, int panel, int width, bool batch) const;
  // Statistics, gamma and beta of the groups, of the batch or moving, spread over the features; meets.
  void share_statistics(const Stage& stage, const Segment& s, bool batch) const;
  // dgamma and dbeta of the groups, and the gradient of what was normalized; meets.
  void share_sums(int number, const Segment& s, bool batch) const;
  void spread_groups(const Segment& s, T* to, const T* from, int panel, T divisor) const;

  // ---- loss (forward.h)

  // Of one output; in training also the gradient that its stage begins with.
  void loss(std::size_t head, bool training, bool weighted) const;
  double divisor(std::size_t head, bool weighted) const;  // of the sum over rows

  // ---- backward (backward.h)

  // The gradient of what enters a stage's column operations, and those of their vectors, for one panel.
  void backward_columns(int number, int panel, int width, bool training) const;
  void backward_segment(int number, const Segment& s, int panel, int width, bool training) const;
  // Through a stage's row operation: to the gradient of what it read, or its own where others read that too.
  void backward_rows(int number) const;
  // dz of a stage, from those that read it.
  void backward_stage(int number, bool training) const;
  // This thread's part of a stage's kernel, block after block: visit(panel, part, offset, inputs of the part, width).
  // Its panels, or its inputs of all panels.
  template <class Visit>
  void own_blocks(int number, Visit visit, bool by_inputs = false) const;
  // The kernel's gradient of one stage; visit(offset, n, gradient) while a block of it is in cache.
  template <class Visit>
  void weight_gradient(int number, Visit visit) const;
  // The gradients of one stage's variables, below whose dz this thread's part is done.
  void gradients(int number) const;

  // ---- what becomes of gradients as they are written (norms.h)

  // A block of a variable's gradient is done: it is accumulated and measured while it is in cache.
  void written(int number, int panel, int part, std::ptrdiff_t offset, std::ptrdiff_t n) const;
  // The same for all gradients, after they were written by somebody else.
  void read_gradients() const;
  bool needs_norm() const { return plan.spec.optimizer.clipnorm || plan.spec.optimizer.global_clipnorm; }

  // ---- regularizers and constraints (penalties.h)

  double& penalty_sum(int variable, int panel) const {
    return p.penalty_sums_[panel * static_cast<std::ptrdiff_t>(plan.variables.size()) + variable];
  }
  double& activity_sum(const Segment& s, int panel) const {
    return p.activity_sums_[panel * static_cast<std::ptrdiff_t>(plan.activities) + s.activity_sum];
  }
  int panel_of(const Variable& v, std::ptrdiff_t offset) const {
    return static_cast<int>((offset - v.offset) / (plan.layout.full() * std::max<std::ptrdiff_t>(v.inputs, 1)));
  }
  int panel_width(int variable, int panel) const {
    return plan.layout.width(plan.variables[static_cast<std::size_t>(variable)].units, panel);
  }
  // Adds the penalty's gradient to a block of the variable's, and its value to the panel's sum.
  void penalize(int number, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) const;
  // The penalties on pairs of vectors, which are whole before a way back begins; meets.
  void orthogonalize(bool with_gradient) const;
  Orthogonality<T> orthogonality(std::size_t number) const;
  // The sums of this thread's panels, without a backward pass.
  void sum_penalties() const;
  // Panel after panel, whatever the threads: of all variables; of all rows.
  double weight_penalty() const;
  double activity_penalty() const;
  // After the update of a block: proximal steps and constraints.
  void settle(const Spending& how, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const;
  // Constraints on norms of what lies in several panels; meets.
  void limit_across() const;

  // ---- parameters of activations (learned.h)

  // Where a panel's operation reads the parameter and writes its gradient.
  void learned_columns(const Segment& s, int units, int panel, Columns<T>& c) const;
  // The gradients of a stage's shared parameters, from those of the panels after a meeting: by the first panel's owner.
  void merge_learned(const Stage& stage) const;
  // Of all stages, once they went backward; they count as written, and threads meet if there are any.
  void merge_learned() const;

  // ---- health (watch.h)

  void counts_for(Health* counter, std::int64_t number, std::int64_t before) {
    health = counter;
    samples = counter != nullptr && counter->samples(number);
    rows_before = before;
  }
  // What a segment, or the stage's map, put out in a panel.
  void watch(int place, const Segment* s, const T* y, const Stage& stage, int panel, int width, bool batch) const;
  void count_flat(Health::Output& seen, const Segment& s, const T* y, const Stage& stage, int panel, int width,
                  int valid, bool batch) const;
  // A block of a variable was updated; scratch has what it was.
  void changed(int number, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) const;

  // ---- update (update.h)

  // This thread's spendings of the step.
  void rules(double rate, double momenta) const;
  void spend(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const {
    spend(clip, number, offset, n, p.gradients_ + offset);
  }
  void spend(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n, const T* g) const;
  // The same without what constraints do afterwards.
  void apply(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n, const T* g) const;
  // Asks for where an update of a block begins; from there on the caches run ahead by themselves.
  void fetch_update(std::ptrdiff_t offset) const;
  Average<T> average(std::ptrdiff_t offset) const;
  // visit(variable number, panel, offset, n) for this thread's slices of a stage's trainable variables, those left out
  // that a lower stage shares.
  template <class Visit>
  void own_slices(const Stage& stage, Visit visit, bool with_kernel = true, bool with_shared = true) const;
  // Clips and applies the optimizer to everything this thread owns, with norms that are known.
  void update() const;

  // ---- a training step after the loss (backward.h)

  // Of a stage whose kernel nobody reads any more in this step.
  void gradients_and_update(int number) const;
  void follow(const Schedule& schedule, bool training) const;
  // Backward and update.
  void learn(bool fused) const;
};

}  // namespace evenflow

#include "program/backward.h"
#include "program/forward.h"
#include "program/ids.h"
#include "program/learned.h"
#include "program/merges.h"
#include "program/normalization.h"
#include "program/norms.h"
#include "program/penalties.h"
#include "program/random.h"
#include "program/update.h"
#include "program/watch.h"
