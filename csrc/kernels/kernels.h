// The contract between kernels and their callers: one table of functions per instruction set and element type.
// Kernels work on one panel (layout.h) or one slice, check nothing, allocate nothing and know no threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/layout.h"
#include "kernels/metric.h"
#include "math/activation.h"
#include "math/losses.h"
#include "math/penalties.h"
#include "math/random.h"
#include "math/updates.h"

namespace evenflow {

// What a column operation does before its activation: x; x + shift; (x - mean) * scale + shift.
enum class Affine { none, bias, normalize };
constexpr int affines = 3;

// Per-feature vectors of one panel.
template <class T>
struct Columns {
  const T* shift = nullptr;    // bias or beta
  const T* mean = nullptr;     // of the batch, or moving
  const T* inverse = nullptr;  // 1 / sqrt(variance + epsilon)
  const T* scale = nullptr;    // gamma * inverse
  const T* learned = nullptr;  // the activation's parameter, and
  T* dlearned = nullptr;       // its gradient, summed over rows
};

// An activation with both directions of every affine form. y may be x; the gradient dy is overwritten by the gradient
// of what enters the activation, dshift and dscale receive its sums over rows, plain and times (x - mean) * inverse.
template <class T>
struct ActivationKernel {
  using Forward = void (*)(T* y, const T* x, int rows, int width, const Columns<T>&, const double* parameters);
  using Backward = void (*)(T* dy, const T* x, const T* y, int rows, int width, const Columns<T>&, T* dshift, T* dscale,
                            const double* parameters);
  const char* name;
  bool needs_input;
  int parameter_count;
  Parameter parameters[most_parameters];
  const char* learned;  // the name of the parameter that is trained, one for each feature; nullptr without one
  double learned_initial;
  Forward forward[affines];
  Backward backward[affines];
};

// Where the random numbers of a panel begin: its first row and feature. Seed, step and layer are the same everywhere.
// Features may share numbers, and so may rows; only of layers that draw 16 bits.
struct Draw {
  std::uint64_t seed, step;
  std::uint32_t layer, row, feature;
  const std::uint32_t* groups = nullptr;  // of the panel's features, in the place of their own numbers
  bool one_row = false;                   // every row has the numbers of row 0

  bool shares() const { return groups != nullptr || one_row; }
};

constexpr int noise_parameters = 2;

// A part of an embedding that one id of each row gives: columns [first, first + count) of the row it names of a table
// [table_rows][columns] in C order. The ids of neighbouring rows are `stride` apart.
template <class T>
struct Embedded {
  const T* ids;
  int stride, rows;
  int table_rows, columns, first, count;

  // Where the part begins in the table; -1 where the id is none of its rows.
  EVENFLOW_INLINE std::ptrdiff_t begin(int row) const {
    const T id = ids[static_cast<std::ptrdiff_t>(row) * stride];
    if (!(id >= T(0) && id < static_cast<T>(table_rows))) return -1;
    return static_cast<std::ptrdiff_t>(id) * columns + first;
  }
};

// The parts of features [begin, end) where each id gives so many: visit(id, first, count, feature - begin).
template <class Visit>
void each_part(int begin, int end, int columns, Visit visit) {
  for (int feature = begin; feature < end;) {
    const int first = feature % columns, rest = end - feature;
    const int count = columns - first < rest ? columns - first : rest;
    visit(feature / columns, first, count, feature - begin);
    feature += count;
  }
}

// A random layer. y may be x; the gradient dy is overwritten by that of x.
template <class T>
struct NoiseKernel {
  using Forward = void (*)(T* y, const T* x, int rows, int width, const Draw&, const double* parameters);
  using Backward = void (*)(T* dy, const T* y, int rows, int width, const Draw&, const double* parameters);
  using Shown = void (*)(T* dy, const T* y, int rows, int width, const double* parameters);
  const char* name;
  int parameter_count;
  Parameter parameters[noise_parameters];
  bool idle_at_zero;    // nothing happens where the first parameter is 0
  bool keeps_zero;      // padding needs no clearing
  bool shares_numbers;  // whether it heeds what Draw says of groups and rows
  Forward forward;
  Backward backward;
  Shown backward_as_shown;  // the same without drawing again, where y shows what was drawn; else nullptr
};

// The rows of one step as the loss kernel sees them.
template <class T>
struct LossRows {
  Output output;
  bool from_logits;  // the loss is computed from the last stage itself, stably
  int units;
  const T* z;  // last stage, in panels
  T* dz;       // its gradient; nullptr: only values
  std::ptrdiff_t stride;
  double gradient_scale;       // of each row: one over the rows of the step, unless weights or reduction differ
  double value_scale;          // of each row's value
  const double* weights;       // of each row, beside these; nullptr: all 1
  const std::int64_t* labels;  // of each row; or
  const T* targets;            // [row][padded units]
  double* losses;              // of each row
  const MetricOutput<T>* metrics;
  int metric_count;
  std::ptrdiff_t metric_stride;  // between a record's numbers
  bool one_hot_labels;           // some metric wants them so
  int record = 0;                // that of row 0

  // Of a batch of `all` rows whose sum is divided by `divided_by`, 0 where no row counts.
  EVENFLOW_INLINE void divide(double divided_by, double weight, int all) {
    gradient_scale = divided_by == 0 ? 0 : weight / divided_by;
    value_scale = divided_by == all ? 1 : divided_by == 0 ? 0 : 1 / divided_by * all;
  }

  // All metrics of a row.
  EVENFLOW_INLINE void count(const MetricRow<T>& seen, int row) const {
    for (const MetricOutput<T>* m = metrics; m < metrics + metric_count; ++m)
      m->kernel(m->settings, seen, m->records + record + row, metric_stride);
  }
};

// The kernel of each loss, found by the loss's type. Scratch: 3 * padded units.
template <class T, class Loss>
struct LossKernel {
  void (*run)(const Loss&, const LossRows<T>&, T* scratch, int first, int last);
};
template <class T, class LossList>
struct LossKernels;
template <class T, class... Loss>
struct LossKernels<T, List<Loss...>> : LossKernel<T, Loss>... {};
// Weight decay, before the update rule.
struct Decay {
  double rate = 0;     // decoupled: p <- p - p * rate
  double coupled = 0;  // PyTorch's: g <- g + coupled * p, after clipping
};

// What becomes of a gradient before the update rule sees it: scaled, then limited to [-limit, limit].
struct Clip {
  double scale = 1;
  double limit = std::numeric_limits<double>::infinity();
  bool active() const { return scale != 1 || limit != std::numeric_limits<double>::infinity(); }
};

// A moving average of p: average <- keep * average + (1 - keep) * p, in the pass that changes p.
template <class T>
struct Average {
  T* values = nullptr;
  double keep = 0;          // 0: the average becomes p
  bool overwrites = false;  // and p the average
};

// The kernel of each rule, found by the rule's type.
template <class T, class Rule>
struct UpdateKernel {
  void (*run)(const Rule&, Clip, const Decay&, T* p, const T* g, T* const* slots, std::ptrdiff_t n, const Average<T>&);
};
template <class T, class RuleList>
struct UpdateKernels;
template <class T, class... Rule>
struct UpdateKernels<T, List<Rule...>> : UpdateKernel<T, Rule>... {};

template <class T>
struct Kernels {
  const char* isa;
  Layout layout;
  int activation_count;
  const ActivationKernel<T>* activations;
  int noise_count;
  const NoiseKernel<T>* noises;
  // Philox's words of `rows` rows of neighbouring blocks, one block of each row.
  void (*random_words)(std::uint32_t* to, std::uint64_t key, Counter first, int rows);

  // A row's features [first * full, end * full) into their place in the panels; padding lanes become zero.
  void (*spread)(T* panels, std::ptrdiff_t stride, const T* from, int row, int features, int first, int end);
  // And back, the whole row.
  void (*collect)(T* to, const T* panels, std::ptrdiff_t stride, int row, int features);

  // c[rows][width] = a[rows][depth] b[depth][width] for `rows` rows from `first` on; a in panels, a_stride apart.
  void (*product)(T* c, const T* a, std::ptrdiff_t a_stride, const T* b, int first, int rows, int depth, int width);
  // b[output][width] = the transposed weights w of inputs [first, first + width); rows past inputs are zero.
  void (*transpose)(T* b, const T* w, int inputs, int outputs, int first, int width);
  // dw[count][width] = x^T dz for the first count features of one panel of x.
  void (*weight_gradient)(T* dw, const T* x, const T* dz, int rows, int x_width, int count, int width);

  // The part of row i into y[i * width ...]; NaN where the id is no row of the table.
  void (*embed)(T* y, int width, const T* table, const Embedded<T>&);
  // And the gradient of it, row by row, added to that of the table's elements [first, end); others are left alone.
  void (*embed_backward)(T* dtable, std::ptrdiff_t first, std::ptrdiff_t end, const T* dy, int width,
                         const Embedded<T>&);

  // Column means and biased variances, in two passes.
  void (*moments)(T* mean, T* variance, const T* x, int rows, int width);
  // inverse = 1 / sqrt(variance + epsilon), scale = gamma * inverse
  void (*normalizer)(T* inverse, T* scale, const T* variance, const T* gamma, double epsilon, int width);
  // inverse = 1 / max(sqrt(variance), smallest); scale is that, or inverted the deviation itself.
  void (*standardizer)(T* inverse, T* scale, const T* variance, double smallest, bool inverted, int width);
  // moving <- moving * momentum + batch * share
  void (*moving_average)(T* moving, const T* batch, double momentum, double share, int width);
  // dz <- scale * (dz - dshift / rows - (x - mean) * inverse * dscale / rows)
  void (*normalize_backward)(T* dz, const T* x, int rows, int width, const Columns<T>&, const T* dshift,
                             const T* dscale);
  // dz <- dz * scale, with constant statistics
  void (*scale_columns)(T* dz, int rows, int width, const T* scale);
  // x <- x * scale + offset
  void (*rescale)(T* x, int rows, int width, double scale, double offset);
  // y <- y + a and y <- y * a; n a multiple of lanes.
  void (*add)(T* y, const T* a, std::ptrdiff_t n);
  void (*multiply)(T* y, const T* a, std::ptrdiff_t n);
  // The lanes from `valid` on of every row are set to zero.
  void (*clear_padding)(T* x, int rows, int width, int valid);

  // alive[j] = 1 where feature j is not 0 in some row, else 0; count[j] = rows in which |slope| < limit.
  void (*alive)(T* alive, const T* y, int rows, int width);
  void (*flat)(T* count, const T* slope, int rows, int width, double limit);

  // An output of rows, and from the gradient of y to that of x, which may be the same memory; scratch: 2 * padded
  // units.
  void (*output_forward)(Output, T* y, const T* x, std::ptrdiff_t stride, int units, T* scratch, int first, int last);
  void (*output_backward)(Output, T* dx, const T* dy, const T* y, std::ptrdiff_t stride, int units, T* scratch,
                          int first, int last);
  // Of each row: y = (x - mean) * inverse with inverse = 1 / sqrt(variance + epsilon), which is kept; not centered: the
  // mean is taken as 0. scratch: padded units; backward 2 * padded units.
  void (*normalize_rows)(T* y, T* inverse, const T* x, std::ptrdiff_t stride, int units, double epsilon, bool centered,
                         T* scratch, int first, int last);
  // dx = inverse * (dy - mean(dy) - y * mean(dy * y)); not centered: without mean(dy)
  void (*normalize_rows_backward)(T* dx, const T* dy, const T* y, const T* inverse, std::ptrdiff_t stride, int units,
                                  bool centered, T* scratch, int first, int last);

  LossKernels<T, Losses> losses;
  // Rows [first, last) of a step: each one's loss, metrics, and gradient of the last stage.
  template <class Loss>
  void loss(const Loss& loss, const LossRows<T>& rows, T* scratch, int first, int last) const {
    static_cast<const LossKernel<T, Loss>&>(losses).run(loss, rows, scratch, first, last);
  }
  MetricKernel<T> metrics[MetricKinds::size];

  double (*square_sum)(const T* g, std::ptrdiff_t n);
  double (*square_distance)(const T* a, const T* b, std::ptrdiff_t n);  // that of a - b
  void (*clip)(T* g, std::ptrdiff_t n, Clip);
  // The penalty of p; its gradient is added to g, unless that is nullptr.
  double (*penalize)(T* g, const T* p, std::ptrdiff_t n, const Penalty&);
  // Each column of u[rows][width] is brought to length 1 by inverse = 1 / its length, at most 1e7.
  void (*unit_columns)(T* u, T* inverse, int rows, int width);
  // The sum of |g| of g[rows][width] but where the row is the column, counted from `first`; g <- its sign, 0 there.
  double (*pair_signs)(T* g, int first, int rows, int width);
  // From the gradient of u to that of what it was made from: d <- share * inverse * (d - u * sum(u * d)), by columns.
  void (*through_unit_columns)(T* d, const T* u, const T* inverse, int rows, int width, double share);
  // p <- sign(p) * max(|p| - threshold, 0)
  void (*soft_threshold)(T* p, std::ptrdiff_t n, double threshold);
  // p <- max(p, 0)
  void (*keep_nonnegative)(T* p, std::ptrdiff_t n);
  // Each column of w[inputs][width], any width, or a vector, is scaled to a norm within the limits; or each of the rows
  // [first, last) of a kernel in panels, `stride` apart.
  void (*limit_norms)(T* w, int inputs, int width, const NormLimits&);
  void (*limit_norm)(T* p, std::ptrdiff_t n, const NormLimits&);
  void (*limit_row_norms)(T* w, std::ptrdiff_t stride, int units, const NormLimits&, int first, int last);
  UpdateKernels<T, Rules> updates;
  // One step of a rule, after clipping and decay. n need not be a multiple of lanes.
  template <class Rule>
  void update(const Rule& rule, Clip clip_first, const Decay& decay, T* p, const T* g, T* const* slots,
              std::ptrdiff_t n, const Average<T>& average = {}) const {
    static_cast<const UpdateKernel<T, Rule>&>(updates).run(rule, clip_first, decay, p, g, slots, n, average);
  }
  // The average of a p that did not change.
  void (*follow)(T* p, std::ptrdiff_t n, const Average<T>&);
  // sum <- sum + g; with a share, g <- share * (sum + g) and sum <- 0.
  void (*accumulate)(T* g, T* sum, std::ptrdiff_t n, double share);

  // Multiply-adds in registers for measuring the ceiling; returns flops done.
  double (*multiply_add)(std::ptrdiff_t repetitions, T* sink);
};

// The table of the instruction set in use.
template <class T>
const Kernels<T>& kernels();

// Instruction sets of this build that this machine runs, best first; nullptr ends the list.
const char* const* isas();
const char* isa();
// False if the machine does not have it.
bool use_isa(const char* name);
// EVENFLOW_ISA, when it names something this machine does not have; else nullptr.
const char* rejected_isa();

}  // namespace evenflow
