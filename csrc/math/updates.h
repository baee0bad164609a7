// Update rules: one call updates one parameter p and its slots from its gradient g.
// Where p, g and the slots are zero they stay zero, to the bit: padding never moves. A slot that starts elsewhere moves
// no p whose gradient is zero. Factors that depend on the step are members, computed by optimizers.h.
#pragma once

#include "math/vocabulary.h"

namespace evenflow {

// average <- keep * average + (1 - keep) * x, as one correction; and of the square of x.
template <class V>
HD V moved(V average, V x, double keep) {
  return fma(V(1 - keep), x - average, average);
}
template <class V>
HD V moved_square(V average, V x, double keep) {
  return fma(V(1 - keep), fma(x, x, -average), average);
}

// p <- p - learning_rate * g
struct Sgd {
  static constexpr int slots = 0;
  static constexpr const char* const* slot_names = nullptr;

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
  static constexpr const char* slot_names[] = {"momentum"};

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
  static constexpr const char* slot_names[] = {"momentum"};

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
  static constexpr const char* slot_names[] = {"m", "v"};

  double beta_1, beta_2, epsilon, step;

  template <class V>
  HD void operator()(V& p, V g, V& m, V& v) const {
    m = moved(m, g, beta_1);
    v = moved_square(v, g, beta_2);
    p = fma(V(-step), ratio_to_root(m, v, V(epsilon)), p);
  }
};

// Adam whose v is the largest so far, so that steps never grow back. Reddi et al. 2018.
struct Amsgrad {
  static constexpr int slots = 3;
  static constexpr const char* slot_names[] = {"m", "v", "v_max"};

  double beta_1, beta_2, epsilon, step;

  template <class V>
  HD void operator()(V& p, V g, V& m, V& v, V& v_max) const {
    m = moved(m, g, beta_1);
    v = moved_square(v, g, beta_2);
    v_max = max(v_max, v);
    p = fma(V(-step), ratio_to_root(m, v_max, V(epsilon)), p);
  }
};

// Adam with Nesterov's look-ahead: m_factor * m + g_factor * g in place of step * m. Dozat 2016.
struct Nadam {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "v"};

  double beta_1, beta_2, epsilon, m_factor, g_factor;

  template <class V>
  HD void operator()(V& p, V g, V& m, V& v) const {
    m = moved(m, g, beta_1);
    v = moved_square(v, g, beta_2);
    p = p - ratio_to_root(fma(V(m_factor), m, V(g_factor) * g), v, V(epsilon));
  }
};

// m as Adam's;  u <- max(beta_2 * u, |g|);  p <- p - step * m / (u + epsilon). Kingma and Ba 2015, section 7.
struct Adamax {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "u"};

  double beta_1, beta_2, epsilon, step;

  template <class V>
  HD void operator()(V& p, V g, V& m, V& u) const {
    m = moved(m, g, beta_1);
    u = max(V(beta_2) * u, abs(g));
    p = fma(V(-step), m / (u + V(epsilon)), p);
  }
};

// Adamax as PyTorch has it: u <- max(beta_2 * u, |g| + epsilon);  p <- p - step * m / u. A u without any gradient so
// far stays 0: PyTorch's is epsilon, which the first gradient exceeds, and p does not move before.
struct TorchAdamax {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "u"};

  double beta_1, beta_2, epsilon, step;

  template <class V>
  HD void operator()(V& p, V g, V& m, V& u) const {
    m = moved(m, g, beta_1);
    const V seen = u + abs(g);
    u = select(seen > V(0), max(V(beta_2) * u, abs(g) + V(epsilon)), seen);
    p = fma(V(-step), m / max(u, V(epsilon)), p);
  }
};

// accumulator <- accumulator + g^2;  p <- p - learning_rate * g / (sqrt(accumulator + epsilon) + outer).
// Duchi et al. 2011. Keras has its epsilon in the root, PyTorch outside of it.
struct Adagrad {
  static constexpr int slots = 1;
  static constexpr const char* slot_names[] = {"accumulator"};

  double epsilon, outer, learning_rate;

  template <class V>
  HD void operator()(V& p, V g, V& accumulator) const {
    accumulator = fma(g, g, accumulator);
    p = fma(V(-learning_rate), ratio_to_root(g, accumulator + V(epsilon), V(outer)), p);
  }
};

// accumulated_grad <- rho * accumulated_grad + (1 - rho) * g^2;
// delta = -sqrt(accumulated_delta_var + epsilon) / sqrt(accumulated_grad + epsilon) * g;
// accumulated_delta_var <- rho * accumulated_delta_var + (1 - rho) * delta^2;  p <- p + learning_rate * delta.
// Zeiler 2012.
struct Adadelta {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"accumulated_grad", "accumulated_delta_var"};

  double rho, epsilon, learning_rate;

  template <class V>
  HD void operator()(V& p, V g, V& grads, V& deltas) const {
    grads = moved_square(grads, g, rho);
    const V delta = -g * sqrt((deltas + V(epsilon)) / (grads + V(epsilon)));
    deltas = moved_square(deltas, delta, rho);
    p = fma(V(learning_rate), delta, p);
  }
};

// velocity <- rho * velocity + (1 - rho) * g^2;  p <- p - learning_rate * g / (sqrt(velocity + epsilon) + outer)
// Hinton 2012, lecture 6e. Centered, the variance velocity - average_gradient^2 stands in place of velocity: it is
// negative by rounding only. With momentum, m <- momentum * m + taken * (the ratio);  p <- p - step * m.
// Keras has its epsilon in the root, and taken = learning_rate, step = 1; PyTorch the epsilon outside, and the reverse.
struct Rmsprop {
  static constexpr int slots = 1;
  static constexpr const char* slot_names[] = {"velocity"};

  double rho, epsilon, outer, learning_rate;

  template <class V>
  HD void operator()(V& p, V g, V& velocity) const {
    p = fma(V(-learning_rate), ratio(g, velocity), p);
  }

  // g / (sqrt(velocity + epsilon) + outer), with the new velocity; and centered.
  template <class V>
  HD V ratio(V g, V& velocity) const {
    velocity = moved_square(velocity, g, rho);
    return ratio_to_root(g, velocity + V(epsilon), V(outer));
  }
  template <class V>
  HD V ratio(V g, V& velocity, V& average) const {
    velocity = moved_square(velocity, g, rho);
    average = moved(average, g, rho);
    return ratio_to_root(g, at_least(fma(-average, average, velocity), V(0)) + V(epsilon), V(outer));
  }
};
struct RmspropMomentum {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"velocity", "momentum"};

  Rmsprop plain;
  double momentum, taken, step;

  template <class V>
  HD void operator()(V& p, V g, V& velocity, V& m) const {
    m = fma(V(momentum), m, V(taken) * plain.ratio(g, velocity));
    p = fma(V(-step), m, p);
  }
};
struct RmspropCentered {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"velocity", "average_gradient"};

  Rmsprop plain;

  template <class V>
  HD void operator()(V& p, V g, V& velocity, V& average) const {
    p = fma(V(-plain.learning_rate), plain.ratio(g, velocity, average), p);
  }
};
struct RmspropCenteredMomentum {
  static constexpr int slots = 3;
  static constexpr const char* slot_names[] = {"velocity", "momentum", "average_gradient"};

  Rmsprop plain;
  double momentum, taken, step;

  template <class V>
  HD void operator()(V& p, V g, V& velocity, V& m, V& average) const {
    m = fma(V(momentum), m, V(taken) * plain.ratio(g, velocity, average));
    p = fma(V(-step), m, p);
  }
};

// p <- p - learning_rate * sign(beta_1 * m + (1 - beta_1) * g);  m <- beta_2 * m + (1 - beta_2) * g. Chen et al. 2023.
struct Lion {
  static constexpr int slots = 1;
  static constexpr const char* slot_names[] = {"momentum"};

  double beta_1, beta_2, learning_rate;

  template <class V>
  HD void operator()(V& p, V g, V& m) const {
    p = fma(V(-learning_rate), sign(moved(m, g, beta_1)), p);
    m = moved(m, g, beta_2);
  }
};

// The only registry: the table of kernels is a fold over it.
using Rules = List<Sgd, Momentum, Nesterov, Adam, Amsgrad, Nadam, Adamax, TorchAdamax, Adagrad, Adadelta, Rmsprop,
                   RmspropMomentum, RmspropCentered, RmspropCenteredMomentum, Lion>;
constexpr int most_slots = 3;

}  // namespace evenflow
