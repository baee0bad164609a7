// The smooth activations, and the list of all of them. Contract and errors: activation.h.
#pragma once

#include "math/activation.h"
#include "math/piecewise.h"
#include "math/saturating.h"

namespace evenflow {

// y = x for x > 0, alpha * (exp(x) - 1) else; alpha >= 0. Clevert et al. 2015.
// Slope's error: eps * alpha.
struct Elu {
  static constexpr const char* name = "elu";
  static constexpr bool needs_input = false;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"alpha", 1.0}};

  double alpha;

  HD explicit Elu(const double* p) : alpha(p[0]) {}

  template <class V>
  HD V value(V x) const {
    return select(x > V(0), x, V(alpha) * expm1_of_nonpositive(x));
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(y > V(0), V(1), y + V(alpha));
  }
};

// y = x for x > 0, alpha * (exp(x / alpha) - 1) else: an ELU whose slope has no jump. alpha = 0 means its limit, ReLU.
// Barron 2017. Slope's error: 1.5 eps.
struct Celu {
  static constexpr const char* name = "celu";
  static constexpr bool needs_input = false;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"alpha", 1.0}};

  double alpha;

  HD explicit Celu(const double* p) : alpha(p[0] < 1e-30 ? 1e-30 : p[0]) {}

  template <class V>
  HD V value(V x) const {
    return select(x > V(0), x, V(alpha) * expm1_of_nonpositive(x / V(alpha)));
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(y > V(0), V(1), V(1) + y / V(alpha));
  }
};

// y = scale * elu(x) with the alpha and scale that keep mean 0 and variance 1. Klambauer et al. 2017.
// Slope's error: 1.3 eps.
struct Selu : WithoutParameters {
  static constexpr const char* name = "selu";
  static constexpr bool needs_input = false;

  HD explicit Selu(const double*) {}

  static constexpr double scale = 1.0507009873554804934;
  static constexpr double scale_alpha = 1.7580993408473768600;

  template <class V>
  HD V value(V x) const {
    return select(x > V(0), V(scale) * x, V(scale_alpha) * expm1_of_nonpositive(x));
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(y > V(0), V(scale), y + V(scale_alpha));
  }
};

// The derivative of x * sigmoid(w) for w + tail = w(x), w' = dw: sigmoid(w) * (1 + x * dw * (1 - sigmoid(w))).
template <class V>
HD V gated_slope(V x, V w, V tail, V dw) {
  const Exponential<V> e(w, tail);
  const V sum = fma(x, dw, V(1) + e.value);
  return e.times(sum / fma(e.value, e.value + V(2), V(1)));
}

// y = x * sigmoid(x)
struct Silu : WithoutParameters {
  static constexpr const char* name = "silu";
  static constexpr bool needs_input = true;

  HD explicit Silu(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V z = at_least(x, logistic_lowest<V>());
    return times_sigmoid(z, at_most(z, logistic_highest<V>()), no_tail<V>());
  }
  template <class V>
  HD V slope(V x, V) const {
    const V z = at_most(at_least(x, logistic_lowest<V>()), logistic_highest<V>());
    return gated_slope(z, z, no_tail<V>(), V(1));
  }
};

// w + tail = factor * x: where x is large and negative, the rounding of w alone would cost x * sigmoid(w) its accuracy.
template <class V>
HD V multiple(V x, double factor, V& tail) {
  const V rounded(factor), rest = constant<V>(factor - static_cast<double>(static_cast<float>(factor)), 0.0);
  const V w = rounded * x;
  tail = fma(rest, x, product_rest(rounded, x, w));
  return w;
}

// y = x * sigmoid(beta * x), beta >= 0. Ramachandran et al. 2017.
struct Swish {
  static constexpr const char* name = "swish";
  static constexpr bool needs_input = true;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"beta", 1.0}};

  double beta;

  HD explicit Swish(const double* p) : beta(p[0]) {}

  template <class V>
  HD V value(V x) const {
    const V z = at_least(x, lowest<V>());
    V tail;
    const V w = multiple(at_most(z, highest<V>()), beta, tail);
    return times_sigmoid(z, w, tail);
  }
  template <class V>
  HD V slope(V x, V) const {
    const V z = at_most(at_least(x, lowest<V>()), highest<V>());
    V tail;
    const V w = multiple(z, beta, tail);
    return gated_slope(z, w, tail, V(beta));
  }

 private:
  // x where y rounds to zero even with a small beta, and where y is x; finite, so that 0 * x is no NaN.
  template <class V>
  HD V lowest() const {
    return at_least(constant<V>(-170.0, -1400.0) / V(beta), V(-Format<scalar_of<V>>::largest));
  }
  template <class V>
  HD V highest() const {
    return at_most(logistic_highest<V>() / V(beta), V(Format<scalar_of<V>>::largest));
  }
};

// y = x * sigmoid(1.702 x). Hendrycks and Gimpel 2016.
struct GeluSigmoid : WithoutParameters {
  static constexpr const char* name = "gelu_sigmoid";
  static constexpr bool needs_input = true;

  HD explicit GeluSigmoid(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V z = at_least(x, constant<V>(-65.0, -447.0));
    V tail;
    const V w = multiple(at_most(z, V(25.5)), 1.702, tail);
    return times_sigmoid(z, w, tail);
  }
  template <class V>
  HD V slope(V x, V) const {
    const V z = at_most(at_least(x, constant<V>(-65.0, -447.0)), V(25.5));
    V tail;
    const V w = multiple(z, 1.702, tail);
    return gated_slope(z, w, tail, V(1.702));
  }
};

// y = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2 = x * sigmoid(x * (a + b x^2)). Hendrycks and Gimpel 2016.
struct GeluTanh : WithoutParameters {
  static constexpr const char* name = "gelu_tanh";
  static constexpr bool needs_input = true;

  HD explicit GeluTanh(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V z = at_least(x, constant<V>(-11.0, -22.0));
    V tail;
    const V w = gate(at_most(z, V(7.6)), tail);
    return times_sigmoid(z, w, tail);
  }
  template <class V>
  HD V slope(V x, V) const {
    const V z = at_most(at_least(x, constant<V>(-11.0, -22.0)), V(7.6));
    V tail;
    const V w = gate(z, tail);
    return gated_slope(z, w, tail, fma(V(3 * b), z * z, V(a_high + a_low)));
  }

 private:
  static constexpr double a_high = 1.595767974853515625;  // 18 binary places: a_high - (a_high + b x^2) is exact
  static constexpr double a_low = 1.1467522150867598e-06;
  static constexpr double b = 0.07135481627260025;
  static constexpr double b_rest_float = b - static_cast<double>(static_cast<float>(b));
  static constexpr double b_rest_double = -4.1218577217431828e-18;

  // w + tail = x * (a + b x^2), as in `multiple`
  template <class V>
  HD static V gate(V x, V& tail) {
    const V b_rest = constant<V>(b_rest_float, b_rest_double);
    const V square = x * x;
    const V cubic = V(b) * square;
    const V factor = V(a_high) + cubic;
    const V cubic_rest = fma(V(b), product_rest(x, x, square), fma(b_rest, square, product_rest(V(b), square, cubic)));
    const V factor_rest = ((V(a_high) - factor) + cubic) + (V(a_low) + cubic_rest);
    const V w = x * factor;
    tail = fma(x, factor_rest, product_rest(x, factor, w));
    return w;
  }
};

// y = x * P(X <= x), X standard normal. Hendrycks and Gimpel 2016.
struct Gelu : WithoutParameters {
  static constexpr const char* name = "gelu";
  static constexpr bool needs_input = true;

  HD explicit Gelu(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V a = at_most(abs(x), normal_highest<V>());
    const NormalTail<V> t = normal_tail(a);
    const V ratio = t.scaled / t.denominator;
    return at_least(x, V(0)) - scale_by_power(fma(ratio, t.m, ratio), t.power);
  }
  template <class V>
  HD V slope(V x, V) const {
    const V a = at_most(abs(x), normal_highest<V>());
    const NormalTail<V> t = normal_tail(a);
    const V ratio = fma(a, V(-0.39894228040143267794), t.numerator / t.denominator);
    const V below = scale_by_power(fma(ratio, t.m, ratio), t.power);
    return select(x > V(0), V(1) - below, below);
  }
};

// y = x * tanh(softplus(x)) = x * w / (w + 2), w = e^x (e^x + 2). Misra 2019.
struct Mish : WithoutParameters {
  static constexpr const char* name = "mish";
  static constexpr bool needs_input = true;

  HD explicit Mish(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V z = at_least(x, logistic_lowest<V>());
    const Exponential<V> e(z, no_tail<V>());
    const V sum = e.value + V(2);
    return select(x > V(22), x, e.times(z * (sum / fma(e.value, sum, V(2)))));
  }
  // e^x * ((e^x + 2) * (w + 2) + 4 x (e^x + 1)) / (w + 2)^2
  template <class V>
  HD V slope(V x, V) const {
    const V z = at_most(at_least(x, logistic_lowest<V>()), V(22));
    const Exponential<V> e(z, no_tail<V>());
    const V sum = e.value + V(2), w = e.value * sum, four_z = V(4) * z;
    return e.times(fma(sum, w + V(2), fma(four_z, e.value, four_z)) / fma(w, w + V(4), V(4)));
  }
};

// y = log(1 + exp(x)). Slope's error: 1.9 ULP.
struct Softplus : WithoutParameters {
  static constexpr const char* name = "softplus";
  static constexpr bool needs_input = false;

  HD explicit Softplus(const double*) {}

  template <class V>
  HD V value(V x) const {
    return softplus(x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return -expm1_of_nonpositive(-y);
  }
};

// y = (x + sqrt(x^2 + b)) / 2; b = 0 gives ReLU. Barron 2021. Slope's error: 8 ULP.
struct Squareplus {
  static constexpr const char* name = "squareplus";
  static constexpr bool needs_input = false;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"b", 4.0}};

  double b, positive_b;

  HD explicit Squareplus(const double* p) : b(p[0]), positive_b(p[0] < 1e-30 ? 1e-30 : p[0]) {}

  // max(x, 0) + b / 2 / (|x| + root), which adds nothing of opposite sign; where x^2 is infinite, the root is |x|.
  template <class V>
  HD V value(V x) const {
    const V a = abs(x);
    const V root = sqrt(fma(a, a, V(positive_b)));
    const V half_sum = V(0.5) * a + V(0.5) * select(root == V(Format<scalar_of<V>>::infinity), a, root);
    return at_least(x, V(0)) + V(0.25 * b) / half_sum;
  }
  // y / sqrt(x^2 + b) = y^2 / (y^2 + b / 4)
  template <class V>
  HD V slope(V, V y) const {
    return V(1) / (V(1) + V(0.25 * positive_b) / (y * y));
  }
};

// y = log(sigmoid(x)). Slope's error: 2.5 ULP.
struct LogSigmoid : WithoutParameters {
  static constexpr const char* name = "log_sigmoid";
  static constexpr bool needs_input = false;

  HD explicit LogSigmoid(const double*) {}

  template <class V>
  HD V value(V x) const {
    return -softplus(-x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return -expm1_of_nonpositive(y);
  }
};

// y = 1 / (1 + exp(-x))
// Slope's error: eps.
struct Sigmoid : WithoutParameters {
  static constexpr const char* name = "sigmoid";
  static constexpr bool needs_input = false;

  HD explicit Sigmoid(const double*) {}

  template <class V>
  HD V value(V x) const {
    return sigmoid(x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return y * (V(1) - y);
  }
};

// Slope's error: 2 eps.
struct Tanh : WithoutParameters {
  static constexpr const char* name = "tanh";
  static constexpr bool needs_input = false;

  HD explicit Tanh(const double*) {}

  template <class V>
  HD V value(V x) const {
    return tanh(x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return fma(-y, y, V(1));
  }
};

// y = x - tanh(x). Below 1 the slope's tanh is x - y, which has lost nothing there.
struct TanhShrink : WithoutParameters {
  static constexpr const char* name = "tanh_shrink";
  static constexpr bool needs_input = true;

  HD explicit TanhShrink(const double*) {}

  template <class V>
  HD V value(V x) const {
    return tanh_shrink(x);
  }
  template <class V>
  HD V slope(V x, V y) const {
    const V t = select(abs(x) < V(1), x - y, tanh(x));
    return t * t;
  }
};

// y = exp(x)
struct Exp : WithoutParameters {
  static constexpr const char* name = "exponential";
  static constexpr bool needs_input = false;

  HD explicit Exp(const double*) {}

  template <class V>
  HD V value(V x) const {
    return exp(x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return y;
  }
};

// The only registry: names, kernel tables and tests are folds over it.
using Activations =
    List<Linear, Relu, LeakyRelu, Relu6, ClippedRelu, Threshold, Elu, Celu, Selu, Gelu, GeluTanh, GeluSigmoid, Silu,
         Swish, HardSilu, Mish, Softplus, Squareplus, SparsePlus, Sigmoid, HardSigmoid, SparseSigmoid, LogSigmoid, Tanh,
         HardTanh, TanhShrink, Softsign, Isru, SoftShrink, HardShrink, Exp>;

}  // namespace evenflow
