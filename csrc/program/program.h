// A plan with its memory: runs steps and epochs. One thread owns a panel from the product through batch normalization
// and activation, and again in the backward pass and in the update; results do not depend on the number of threads.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "program/arena.h"
#include "program/plan.h"
#include "program/run.h"
#include "program/spending.h"
#include "program/team.h"

namespace evenflow {

// What a batch has for one output, beside its stage.
template <class T>
struct OutputMemory {
  T *probabilities, *targets;
  std::int64_t* labels;
  double *losses, *weights;  // of rows
  std::vector<MetricOutput<T>> metrics;
};

// What random layers draw: nothing, or the numbers of a step. Rows are counted from first_row, and a seed here takes
// the place of the layers' own.
struct Draws {
  bool on = false;
  std::uint64_t step = 0;
  std::optional<std::uint64_t> seed;
  std::uint32_t first_row = 0;
};

// Thread counts 1, 2, 4, ... tried in turn, a few rounds; the one with the fastest step wins for a while.
struct Race {
  static constexpr int rounds = 3;
  int next = 1, round = 0, most = 0;
  int winner = 1;
  double best = 1e300, until = 0;

  bool over(int limit) const { return round == rounds && most == limit; }
  void enter(double seconds_per_step, int limit) {
    if (most != limit) *this = Race{next, 0, limit, 1, 1e300, 0};
    if (seconds_per_step < best) {
      best = seconds_per_step;
      winner = next;
    }
    if (next >= limit) ++round;
    next = next >= limit ? 1 : (2 * next < limit ? 2 * next : limit);
  }
};

template <class T>
class Program {
 public:
  static Layout layout(const Kernels<T>& kernels) { return kernels.layout; }
  Program(Plan plan, const Kernels<T>& kernels, bool fusion);

  const Plan& plan() const { return plan_; }
  const Kernels<T>& kernels() const { return k_; }
  T* parameters() const { return parameters_; }
  T* gradients() const { return gradients_; }
  T* slot(int s) const { return slots_ + s * plan_.trainable_size; }

  // y: of each output; what has no loss is not read.
  Progress run(const Feeds& x, const Feeds& y, const Run& run);
  void predict(const Feeds& x, const std::vector<T*>& out);  // [rows][units] of each output
  // draw: the step whose random numbers are used in training.
  void forward(const Feeds& x, const std::vector<T*>& out, bool training, std::uint64_t draw, Health* health = nullptr);
  // Passes [first, first + count) with random layers on and everything else in inference mode; each moves the means and
  // the sums of squared deviations, float64 [rows][units] of each output, of the passes before it. first_row: number of
  // x's first row.
  void predict_mc(const Feeds& x, std::uint64_t seed, std::int64_t first_row, std::int64_t first, std::int64_t count,
                  const std::vector<double*>& mean, const std::vector<double*>& squares);
  void backward(const std::vector<const T*>& dy, const std::vector<T*>& dx);
  double update(double learning_rate, std::optional<double> momentum, Health* health = nullptr);
  // Penalties that a loss has beside its own value: of the weights as they are, and of the last forward pass, per row.
  double penalty(int rows);
  // What the metric `predictions` of an output saw in the last step.
  void predictions(std::size_t head, T* out, int rows) const;
  // Somebody else may have written the gradients of tables.
  void touch_tables();
  void reset_slots();                                                                     // to what they start from
  double momenta_until(Momenta& known, std::int64_t step, const double* momentum) const;  // of the optimizer
  std::int64_t step() const { return iterations / plan_.spec.optimizer.accumulation; }    // steps done
  // The l2 norms of the trainable variables' gradients before clipping, when norms_known; and of all together.
  std::vector<double> gradient_norms() const;
  double gradient_norm() const;

  std::atomic<int> threads{0};  // 0: whatever finishes first, up to the process's limit
  std::int64_t iterations = 0;  // batches that the optimizer was given: each is a step unless gradients accumulate
  int forward_rows = 0;         // of the last `forward`; 0 if there is nothing to go back through
  bool norms_known = false;     // of the gradients as they are
  Momenta momenta;              // that steps had so far

  // Packed panels to C order and back.
  void unpack(const Variable& v, const T* packed, T* to) const;
  void pack(const Variable& v, T* packed, const T* from) const;

 private:
  struct Step;  // one step as one thread sees it

  void prepare_scratch(int count);
  int team_size(std::int64_t rows) const;
  double flops(int rows) const;
  double initial_slot() const;
  void note_norms(double* of_variables) const;
  // Adds what a batch gave for an output; returns its part of the whole loss.
  double add_output(Progress& progress, std::size_t head, int rows, bool weighted) const;
  // Of a variable's gradient: panel after panel, whatever the threads.
  double* panel_square_sum(std::size_t variable, int panel) const {
    return square_sums_ + panel * plan_.variables.size() + variable;
  }
  double panel_sum(const double* sums, std::size_t variable) const;
  double square_sum(std::size_t variable) const { return panel_sum(square_sums_, variable); }
  void note_health(Health& health) const;
  // Of a table's gradient in strips of so many numbers: the marks of those written since they were last zeroed.
  static constexpr std::ptrdiff_t strip = 16;
  unsigned char* marks(int table, std::ptrdiff_t offset) const {
    const auto number = static_cast<std::size_t>(table);
    return written_[number].data() + (offset - plan_.variables[number].offset) / strip;
  }

  const Plan plan_;
  const Kernels<T>& k_;
  const bool fusion_;
  Arena arena_;
  T *parameters_, *gradients_, *slots_, *activations_, *zeros_;
  std::vector<T*> dz_;  // gradients of activations
  double *square_sums_, *update_sums_, *weight_sums_, *penalty_sums_, *activity_sums_;
  std::vector<std::vector<double>> orthogonal_sums_;  // of each of Plan::orthogonals, by panels
  std::vector<OutputMemory<T>> outputs_;
  std::vector<std::vector<T>> scratch_;           // of each thread
  std::vector<std::vector<Spending>> spendings_;  // of each thread, by the variables' factors as Plan::rates has them
  mutable std::vector<std::vector<unsigned char>> written_;  // of each variable that is a table, a mark for each strip
  Race race_;
  bool forward_training_ = false;
  Draws forward_draws_;
};

extern template class Program<float>;
extern template class Program<double>;

}  // namespace evenflow
