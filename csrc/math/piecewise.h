// Activations made of straight lines and parabolas. Errors: see activation.h; they are at most 3 ULP.
#pragma once

#include "math/activation.h"

namespace evenflow {

// y = x
struct Linear : WithoutParameters {
  static constexpr const char* name = "linear";
  static constexpr bool needs_input = false;

  HD explicit Linear(const double*) {}

  template <class V>
  HD V value(V x) const {
    return x;
  }
  template <class V>
  HD V slope(V, V) const {
    return V(1);
  }
};

// y = max(x, 0)
struct Relu : WithoutParameters {
  static constexpr const char* name = "relu";
  static constexpr bool needs_input = false;

  HD explicit Relu(const double*) {}

  template <class V>
  HD V value(V x) const {
    return at_least(x, V(0));
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(y > V(0), V(1), y);  // y is 0 here, or NaN
  }
};

// y = x for x > 0, negative_slope * x else; negative_slope >= 0
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  static constexpr bool needs_input = false;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"negative_slope", 0.2}};

  double negative_slope;

  HD explicit LeakyRelu(const double* p) : negative_slope(p[0]) {}

  template <class V>
  HD V value(V x) const {
    return select(x > V(0), x, V(negative_slope) * x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(is_nan(y), y, select(y > V(0), V(1), V(negative_slope)));
  }
};

// y = x for x > threshold, negative_slope * (x - threshold) else, and at most max_value. The ReLUs of Keras' layer that
// are not one of the others.
struct ClippedRelu {
  static constexpr const char* name = "clipped_relu";
  static constexpr bool needs_input = true;
  static constexpr int parameter_count = 3;
  static constexpr Parameter parameters[] = {{"max_value", 6.0}, {"negative_slope", 0.0}, {"threshold", 0.0}};

  double max_value, negative_slope, threshold, lowest;

  HD explicit ClippedRelu(const double* p)
      : max_value(p[0] < unbounded ? p[0] : Format<double>::infinity),
        negative_slope(p[1]),
        threshold(p[2]),
        lowest(p[1] == 0 ? -1 : -Format<double>::infinity) {}  // 0 times minus infinity would be no number

  template <class V>
  HD V value(V x) const {
    const V below = fma(V(negative_slope), at_least(x - V(threshold), V(lowest)), V(0));  // no negative zero
    return select(x > V(threshold), at_most(x, V(max_value)), below);
  }
  template <class V>
  HD V slope(V x, V) const {
    const V above = select(x >= V(max_value), V(0), V(1));
    return select(is_nan(x), x, select(x > V(threshold), above, V(negative_slope)));
  }
};

// y = x for x > threshold, default_value else.
struct Threshold {
  static constexpr const char* name = "threshold";
  static constexpr bool needs_input = true;
  static constexpr int parameter_count = 2;
  static constexpr Parameter parameters[] = {{"threshold", 0.0, -unbounded}, {"default_value", 0.0, -unbounded}};

  double threshold, default_value;

  HD explicit Threshold(const double* p) : threshold(p[0]), default_value(p[1]) {}

  template <class V>
  HD V value(V x) const {
    return select(x <= V(threshold), V(default_value), x);
  }
  template <class V>
  HD V slope(V x, V) const {
    return select(is_nan(x), x, select(x > V(threshold), V(1), V(0)));
  }
};

// y = min(max(x, 0), 6). Krizhevsky 2010.
struct Relu6 : WithoutParameters {
  static constexpr const char* name = "relu6";
  static constexpr bool needs_input = false;

  HD explicit Relu6(const double*) {}

  template <class V>
  HD V value(V x) const {
    return at_most(at_least(x, V(0)), V(6));
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(y >= V(6), V(0), select(y > V(0), V(1), y));
  }
};

// min(max(x + half, 0), 2 half) / (2 half): 0 up to -half, 1 from half on, a line between. x + half has no error where
// it is small.
template <class V>
HD V ramp(V x, double half) {
  return at_most(at_least(x + V(half), V(0)), V(2 * half)) * V(0.5 / half);
}
// Its slope from its value.
template <class V>
HD V ramp_slope(V y, double half) {
  return select(y >= V(1), V(0), select(y > V(0), V(0.5 / half), y));
}

// y = min(max(x / 6 + 1/2, 0), 1). Courbariaux et al. 2015, with the slope of Howard et al. 2019.
struct HardSigmoid : WithoutParameters {
  static constexpr const char* name = "hard_sigmoid";
  static constexpr bool needs_input = false;

  HD explicit HardSigmoid(const double*) {}

  template <class V>
  HD V value(V x) const {
    return ramp(x, 3.0);
  }
  template <class V>
  HD V slope(V, V y) const {
    return ramp_slope(y, 3.0);
  }
};

// y = x * hard_sigmoid(x). Howard et al. 2019.
struct HardSilu : WithoutParameters {
  static constexpr const char* name = "hard_silu";
  static constexpr bool needs_input = true;

  HD explicit HardSilu(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V z = at_least(x, V(-3));
    return z * ramp(z, 3.0);
  }
  template <class V>
  HD V slope(V x, V) const {
    return select(x >= V(3), V(1), select(x <= V(-3), V(0), fma(x, V(1.0 / 3.0), V(0.5))));
  }
};

// y = min(max(x, -1), 1). Collobert 2004.
struct HardTanh : WithoutParameters {
  static constexpr const char* name = "hard_tanh";
  static constexpr bool needs_input = false;

  HD explicit HardTanh(const double*) {}

  template <class V>
  HD V value(V x) const {
    return at_most(at_least(x, V(-1)), V(1));
  }
  template <class V>
  HD V slope(V, V y) const {
    return select(abs(y) >= V(1), V(0), select(is_nan(y), y, V(1)));
  }
};

// y = min(max((x + 1) / 2, 0), 1): a sparsemax of two classes. Martins and Astudillo 2016.
struct SparseSigmoid : WithoutParameters {
  static constexpr const char* name = "sparse_sigmoid";
  static constexpr bool needs_input = false;

  HD explicit SparseSigmoid(const double*) {}

  template <class V>
  HD V value(V x) const {
    return ramp(x, 1.0);
  }
  template <class V>
  HD V slope(V, V y) const {
    return ramp_slope(y, 1.0);
  }
};

// y = sparse_sigmoid(x)^2 for x < 1, x else; its slope is sparse_sigmoid. Blondel et al. 2019.
struct SparsePlus : WithoutParameters {
  static constexpr const char* name = "sparse_plus";
  static constexpr bool needs_input = false;

  HD explicit SparsePlus(const double*) {}

  template <class V>
  HD V value(V x) const {
    const V s = ramp(x, 1.0);
    return select(x >= V(1), x, s * s);
  }
  template <class V>
  HD V slope(V, V y) const {
    return at_most(sqrt(y), V(1));
  }
};

// The slope of y that is 0 in an interval and grows like x outside.
template <class V>
HD V shrunk_slope(V y) {
  return select(y == V(0), V(0), select(is_nan(y), y, V(1)));
}

// y = x - threshold for x > threshold, x + threshold for x < -threshold, 0 between. Donoho 1995.
struct SoftShrink {
  static constexpr const char* name = "soft_shrink";
  static constexpr bool needs_input = false;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"threshold", 0.5}};

  double threshold;

  HD explicit SoftShrink(const double* p) : threshold(p[0]) {}

  template <class V>
  HD V value(V x) const {
    return x - at_most(at_least(x, V(-threshold)), V(threshold));
  }
  template <class V>
  HD V slope(V, V y) const {
    return shrunk_slope(y);
  }
};

// y = x for |x| > threshold, 0 else. Donoho and Johnstone 1994.
struct HardShrink {
  static constexpr const char* name = "hard_shrink";
  static constexpr bool needs_input = false;
  static constexpr int parameter_count = 1;
  static constexpr Parameter parameters[] = {{"threshold", 0.5}};

  double threshold;

  HD explicit HardShrink(const double* p) : threshold(p[0]) {}

  template <class V>
  HD V value(V x) const {
    return select(abs(x) <= V(threshold), V(0), x);
  }
  template <class V>
  HD V slope(V, V y) const {
    return shrunk_slope(y);
  }
};

}  // namespace evenflow
