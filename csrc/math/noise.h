// What every random layer is made of: value(x, r) and gradient(dy, y, r), r the element's random number, of which both
// directions are told the same. A 16-bit number is below(limit) or spread evenly over uniform(), in 2^16 steps; a
// normal one is a value. Rates are so exact to 2^-17. idle_at_zero: nothing happens where the first parameter is 0.
// keeps_zero: 0 stays 0. reads_output: the gradient needs y. shows_draw: y alone tells what was drawn, and
// gradient(dy, y) needs no random number.
#pragma once

#include "math/activation.h"
#include "math/random.h"

namespace evenflow {

// 16 bits of a block of 128, read as a signed number.
template <class V>
struct Uniform {
  static constexpr int bits = 16;
  const std::int16_t* from;

  // Where the number is one of the lowest `limit` of 2^16; limit < 2^16.
  EVENFLOW_INLINE auto below(int limit) const { return V::below(from, static_cast<std::int16_t>(limit - 32768)); }
  // low + (high - low) * (k + 1/2) / 2^16
  EVENFLOW_INLINE V between(double low, double high) const {
    const double step = (high - low) / 65536;
    return fma(V::from_integers(from), V(step), V(low + step * 32768.5));
  }
};

// A normal number with mean 0 and variance 1, made of 32 bits.
template <class V>
struct Normal {
  static constexpr int bits = 32;
  const scalar_of<V>* from;

  EVENFLOW_INLINE V value() const { return V::load(from); }
};

// How many of the 2^16 numbers mean "dropped".
HD constexpr int dropped_of_65536(double rate) {
  const int limit = static_cast<int>(rate * 65536 + 0.5);
  return limit < 65536 ? limit : 65535;
}

// y = x / (1 - rate), or 0 with probability `rate`. Srivastava et al. 2014, in the inverted form. What is dropped is
// -0, and what is kept never is, since adding +0 makes +0 of a product that is -0.
struct Dropout {
  static constexpr const char* name = "dropout";
  static constexpr Parameter parameters[] = {{"rate", 0.5}};
  template <class V>
  using Random = Uniform<V>;
  static constexpr bool idle_at_zero = true, keeps_zero = true, reads_output = false, shows_draw = true;

  int limit;
  double scale;

  HD explicit Dropout(const double* p) : limit(dropped_of_65536(p[0])), scale(1 / (1 - p[0])) {}

  template <class V>
  EVENFLOW_INLINE V value(V x, Uniform<V> r) const {
    return select(r.below(limit), V(-0.0), fma(x, V(scale), V(0)));
  }
  template <class V>
  EVENFLOW_INLINE V gradient(V dy, V, Uniform<V> r) const {
    return select(r.below(limit), V(0), dy * V(scale));
  }
  template <class V>
  EVENFLOW_INLINE V gradient(V dy, V y) const {
    const V kept = dy * V(scale);
    return select(y == V(0), select(copysign(V(1), y) < V(0), V(0), kept), kept);
  }
};

// y = a * x + b, with the dropped x replaced by SELU's limit -1.7581; a and b keep mean 0 and variance 1.
// Klambauer et al. 2017.
struct AlphaDropout {
  static constexpr const char* name = "alpha_dropout";
  static constexpr Parameter parameters[] = {{"rate", 0.5}};
  template <class V>
  using Random = Uniform<V>;
  static constexpr bool idle_at_zero = true, keeps_zero = false, reads_output = false, shows_draw = false;
  static constexpr double dropped = -1.7580993408473768600;

  int limit;
  double a, b;

  HD explicit AlphaDropout(const double* p)
      : limit(dropped_of_65536(p[0])),
        a(1 / sqrt((1 - p[0]) * (1 + p[0] * dropped * dropped))),
        b(-a * dropped * p[0]) {}

  template <class V>
  EVENFLOW_INLINE V value(V x, Uniform<V> r) const {
    return fma(select(r.below(limit), V(dropped), x), V(a), V(b));
  }
  template <class V>
  EVENFLOW_INLINE V gradient(V dy, V, Uniform<V> r) const {
    return select(r.below(limit), V(0), dy * V(a));
  }
};

// y = x + stddev * normal
struct GaussianNoise {
  static constexpr const char* name = "gaussian_noise";
  static constexpr Parameter parameters[] = {{"stddev", 1.0}};
  template <class V>
  using Random = Normal<V>;
  static constexpr bool idle_at_zero = true, keeps_zero = false, reads_output = false, shows_draw = false;

  double stddev;

  HD explicit GaussianNoise(const double* p) : stddev(p[0]) {}

  template <class V>
  EVENFLOW_INLINE V value(V x, Normal<V> r) const {
    return fma(V(stddev), r.value(), x);
  }
};

// y = x * (1 + sqrt(rate / (1 - rate)) * normal): the mean and variance of dropout. Srivastava et al. 2014.
struct GaussianDropout {
  static constexpr const char* name = "gaussian_dropout";
  static constexpr Parameter parameters[] = {{"rate", 0.5}};
  template <class V>
  using Random = Normal<V>;
  static constexpr bool idle_at_zero = true, keeps_zero = true, reads_output = false, shows_draw = false;

  double stddev;

  HD explicit GaussianDropout(const double* p) : stddev(sqrt(p[0] / (1 - p[0]))) {}

  template <class V>
  EVENFLOW_INLINE V value(V x, Normal<V> r) const {
    return x * fma(V(stddev), r.value(), V(1));
  }
  template <class V>
  EVENFLOW_INLINE V gradient(V dy, V, Normal<V> r) const {
    return dy * fma(V(stddev), r.value(), V(1));
  }
};

// y = x for x > 0, slope * x else, slope uniform between lower and upper; their mean where nothing is random.
// Xu et al. 2015.
struct Rrelu {
  static constexpr const char* name = "rrelu";
  static constexpr Parameter parameters[] = {{"lower", 0.125}, {"upper", 1.0 / 3}};
  template <class V>
  using Random = Uniform<V>;
  static constexpr bool idle_at_zero = false, keeps_zero = true, reads_output = true, shows_draw = false;

  double lower, upper;

  HD explicit Rrelu(const double* p) : lower(p[0]), upper(p[1]) {}

  template <class V>
  EVENFLOW_INLINE V value(V x, Uniform<V> r) const {
    return select(x > V(0), x, x * r.between(lower, upper));
  }
  template <class V>
  EVENFLOW_INLINE V gradient(V dy, V y, Uniform<V> r) const {
    return select(y > V(0), dy, dy * r.between(lower, upper));
  }
};

using Noises = List<Dropout, AlphaDropout, GaussianNoise, GaussianDropout, Rrelu>;

}  // namespace evenflow
