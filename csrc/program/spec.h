// A network as plain data, as Python describes it.
#pragma once

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
  std::uint32_t number = 0;  // of the random layers below, so that one seed serves many layers
};

struct LayerSpec {
  enum Kind { rescaling, dense, batch_normalization, activation, noise } kind;
  std::string name;
  bool trainable = false;
  int units = 0;                     // dense
  bool use_bias = false;             // dense
  double momentum = 0, epsilon = 0;  // batch normalization
  bool center = false, scale = false;
  std::string activation_name;  // activation; "softmax" only at the very end
  double parameter = 0;
  double factor = 1, offset = 0;  // rescaling
  Noise random;                   // noise
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
  std::optional<double> clipvalue, clipnorm, global_clipnorm;
};

struct Spec {
  int inputs = 0;
  std::vector<LayerSpec> layers;
  std::optional<Loss> loss;
  bool from_logits = false;
  std::vector<MetricSpec> metrics;
  OptimizerSpec optimizer;
};

}  // namespace evenflow
