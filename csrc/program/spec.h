// A network as plain data, as Python describes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"

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

struct OptimizerSpec {
  enum Kind { none, sgd, adam } kind = none;
  double momentum = 0;
  bool nesterov = false;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  std::optional<double> clipvalue, clipnorm, global_clipnorm;
};

struct Spec {
  int inputs = 0;
  std::vector<LayerSpec> layers;
  std::optional<Loss> loss;
  bool from_logits = false;
  std::vector<Metric> metrics;
  OptimizerSpec optimizer;
};

}  // namespace evenflow
