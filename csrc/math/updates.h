// Update rules: one call updates one parameter p and its slots from its gradient g.
// Where p, g and the slots are zero they stay zero, to the bit: padding never moves.
#pragma once

#include "math/vocabulary.h"

namespace evenflow {

// p <- p - learning_rate * g
struct Sgd {
  static constexpr int slots = 0;

  double learning_rate;

  template <class V>
  HD void operator()(V& p, V g) const {
    p = fma(V(-learning_rate), g, p);
  }
};

// m <- momentum * m + gradient_factor * g;  p <- p + step * m
// Keras: gradient_factor = -learning_rate, step = 1. PyTorch: gradient_factor = 1, step = -learning_rate.
struct Momentum {
  static constexpr int slots = 1;

  double momentum, gradient_factor, step;

  template <class V>
  HD void operator()(V& p, V g, V& m) const {
    m = fma(V(momentum), m, V(gradient_factor) * g);
    p = fma(V(step), m, p);
  }
};

// m <- momentum * m + gradient_factor * g;  p <- p + step * (momentum * m + gradient_factor * g)
struct Nesterov {
  static constexpr int slots = 1;

  double momentum, gradient_factor, step;

  template <class V>
  HD void operator()(V& p, V g, V& m) const {
    const V push = V(gradient_factor) * g;
    m = fma(V(momentum), m, push);
    p = fma(V(step), fma(V(momentum), m, push), p);
  }
};

// m <- m + (1 - beta_1) * (g - m);  v <- v + (1 - beta_2) * (g^2 - v);  p <- p - step * m / (sqrt(v) + epsilon)
// Kingma and Ba 2015, with the bias corrections of m and v in step; epsilon is the paper's epsilon hat, as in Keras.
// PyTorch's epsilon is this one divided by sqrt(1 - beta_2^t).
struct Adam {
  static constexpr int slots = 2;

  double beta_1, beta_2, epsilon, step;

  template <class V>
  HD void operator()(V& p, V g, V& m, V& v) const {
    m = fma(V(1 - beta_1), g - m, m);
    v = fma(V(1 - beta_2), fma(g, g, -v), v);
    p = fma(V(-step), ratio_to_root(m, v, V(epsilon)), p);
  }
};

// Adam's step of iteration t = 1, 2, ...: learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t). Host only.
EVENFLOW_INLINE double adam_step(double learning_rate, double beta_1, double beta_2, double t) {
  return learning_rate * std::sqrt(1 - std::pow(beta_2, t)) / (1 - std::pow(beta_1, t));
}

}  // namespace evenflow
