// A network as plain data, as Python describes it.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernels/kernels.h"
#include "math/optimizers.h"
#include "program/metrics.h"

namespace evenflow {

// A random layer: row of the kernel table, -1 for none.
struct Noise {
  int kind = -1;
  double parameters[noise_parameters] = {};
  std::uint64_t seed = 0;
  std::uint32_t number = 0;           // of the random layers below, so that one seed serves many layers
  bool one_row = false;               // the numbers are the same for every row
  std::vector<std::uint32_t> groups;  // features of a group share a number; none: each has its own
};

// The mean of |cosine| over all pairs of a kernel's columns or rows, times a factor.
struct Orthogonal {
  double factor = 0;
  bool rows = true;
};

// What is asked of a variable besides a small loss.
struct Regularization {
  Penalty penalty;
  Orthogonal orthogonal;
  bool proximal = false;  // l1 as a threshold after each update, in place of its slope in the gradient
  bool nonnegative = false;
  std::optional<NormLimits> norms;
  std::vector<int> axis;                             // of a matrix, along which norms are taken: -2 to 1
  enum Along { inputs, units, all } along = inputs;  // the same: of each unit's weights, of each input's, of all

  bool penalized() const { return penalty.active() || orthogonal.factor != 0; }
  bool settles() const { return proximal || nonnegative || norms; }
};

struct LayerSpec {
  enum Kind {
    rescaling,
    dense,
    batch_normalization,
    activation,
    normalization,
    layer_normalization,
    rms_normalization,
    scaling,
    activity_regularization,
    noise,
    input,
    add,
    multiply,
    concatenate,
    embedding,
    category_encoding,
    discretization
  } kind;
  std::string name;
  std::vector<int> from;  // layers before this one that it reads
  int shares = -1;        // the layer before it whose variables it uses: a second call of the same layer
  bool trainable = false;
  int units = 0;                     // dense; the columns of an embedding's table; the different ids of an encoding
  int input_dim = 0;                 // embedding: the rows of its table
  int transposes = -1;               // dense: the layer before it whose kernel, transposed, it uses
  bool use_bias = false;             // dense
  double momentum = 0, epsilon = 0;  // batch normalization; epsilon of all that divide by a deviation
  bool center = false, scale = false, unbiased_variance = false;
  // Of rows, and which axes have statistics, or random numbers, of their own; 1 is the first of the shape.
  std::vector<int> shape, axis;
  bool invert = false;                                   // normalization
  Penalty activity;                                      // activity regularization
  std::map<std::string, Regularization> regularization;  // of the layer's variables, by their short names
  std::string activation_name;                           // activation; an output of rows only at the very end
  std::array<double, most_parameters> parameters{};
  std::string learned;  // the variable of an activation that has one
  double learned_initial = 0;
  bool shared = false;                                             // one element for all features
  double factor = 1, offset = 0;                                   // rescaling
  Noise random;                                                    // noise
  int number = 0;                                                  // input: which of the network's
  enum Encoding { one_hot, multi_hot, count } encoding = one_hot;  // category encoding
  bool masks = false;                                              // the id `units` stands for nothing
  std::vector<double> boundaries;                                  // discretization: ascending
};

template <template <class...> class To, class From>
struct Unlisted;
template <template <class...> class To, class... Types>
struct Unlisted<To, List<Types...>> {
  using type = To<Types...>;
};
using AnyOptimizer = Unlisted<std::variant, Optimizers>::type;
using AnyRule = Unlisted<std::variant, Rules>::type;

struct OptimizerSpec {
  std::optional<AnyOptimizer> optimizer;
  double weight_decay = 0;
  std::vector<std::string> undecayed;  // variables that the decay leaves alone
  bool coupled = false;                // the decay is a part of the gradient, as PyTorch has it
  std::optional<double> clipvalue, clipnorm, global_clipnorm;
  int accumulation = 1;                                      // batches whose mean gradient makes a step
  std::optional<double> ema_momentum;                        // of an average of every variable
  int ema_overwrite_frequency = 0;                           // steps between two overwritings by that average; 0: never
  std::vector<std::pair<std::string, double>> rate_factors;  // by variable; others have 1
};

using AnyLoss = Unlisted<std::variant, Losses>::type;
enum class Reduction { mean, sum, weighted_mean };  // of a batch: by its rows, by one, by the sum of its weights

struct LossSpec {
  AnyLoss loss;
  bool from_logits = false;
  Reduction reduction = Reduction::mean;
  double weight = 1;

  template <class Visit>
  auto visit(Visit f) const {
    return std::visit(f, loss);
  }
  Output absorbs() const {
    return visit([](const auto& l) { return l.absorbs; });
  }
  bool labels() const {
    return visit([](const auto& l) { return l.labels; });
  }
  std::int64_t ignore_class() const {
    return visit([](const auto& l) { return std::int64_t{l.ignore_class}; });
  }
  int outputs_per_target() const {
    return visit([](const auto& l) { return l.outputs_per_target(); });
  }
};

// A layer's value that the network gives out, with what is asked of it.
struct OutputSpec {
  int layer = -1;  // -1: the input itself
  std::optional<LossSpec> loss;
  std::vector<MetricSpec> metrics;
};

struct Spec {
  std::vector<int> inputs;  // features of each
  std::vector<LayerSpec> layers;
  std::vector<OutputSpec> outputs;  // at least one
  OptimizerSpec optimizer;
};

}  // namespace evenflow
