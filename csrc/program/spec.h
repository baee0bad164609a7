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

struct LayerSpec {
  enum Kind { rescaling, dense, batch_normalization, activation } kind;
  std::string name;
  bool trainable = false;
  int units = 0;                     // dense
  bool use_bias = false;             // dense
  double momentum = 0, epsilon = 0;  // batch normalization
  bool center = false, scale = false;
  std::string activation_name;  // activation; "softmax" only at the very end
  double parameter = 0;
  double factor = 1, offset = 0;  // rescaling
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

struct Spec {
  int inputs = 0;
  std::vector<LayerSpec> layers;
  std::optional<LossSpec> loss;
  std::vector<MetricSpec> metrics;
  OptimizerSpec optimizer;
};

}  // namespace evenflow
