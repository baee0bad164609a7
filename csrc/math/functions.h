// Elementary functions over a value type V: float, double and every Vec.
// Stated errors are bounds over all instruction sets and the function's whole domain, subnormal results included, in
// units in the last place (ULP) of the result. NaN gives NaN, infinities give limits, overflow infinity, as in libm.
#pragma once

#include "math/vocabulary.h"

namespace evenflow {

template <class V>
inline constexpr bool is_float = sizeof(scalar_of<V>) == sizeof(float);

// One of two constants, by the element type.
template <class V>
HD V constant(double for_float, double for_double) {
  return V(is_float<V> ? for_float : for_double);
}

// c0 + x * (c1 + x * (c2 + ...))
template <class V>
HD V polynomial(V, double c0) {
  return V(c0);
}
template <class V, class... Coefficients>
HD V polynomial(V x, double c0, Coefficients... higher) {
  return fma(polynomial(x, higher...), x, V(c0));
}

// ---- exponential

// ln(2) in two parts; the first has so few digits that its product with an exponent is exact.
template <class V>
HD V ln2_high() {
  return constant<V>(0.693145751953125, 6.93147180369123816490e-01);
}
template <class V>
HD V ln2_low() {
  return constant<V>(1.42860682030941723212e-06, 1.90821492927058770002e-10);
}

// x = n * ln(2) + result, n integral and |result| <= ln(2) / 2; for |n| < 2 * bias.
template <class V>
HD V reduce(V x, V& n) {
  const V shift(Format<scalar_of<V>>::round_shift);
  n = fma(x, V(1.44269504088896340736), shift) - shift;
  return fma(n, -ln2_low<V>(), fma(n, -ln2_high<V>(), x));
}

// exp(r) - 1 for |r| <= ln(2) / 2.
template <class V>
HD V expm1_reduced(V r) {
  V tail;
  if constexpr (is_float<V>) {
    tail = polynomial(r, 0.49999994, 0.166665211, 0.041668281, 0.0083686877, 0.00138180761);
  } else {
    tail = polynomial(r, 0.5000000000000011, 0.1666666666666645, 0.04166666666652735, 0.008333333333475287,
                      0.0013888888944228555, 0.0001984126954260484, 2.4801492549676137e-05, 2.755755742482094e-06,
                      2.763042942960931e-07, 2.5008613619642987e-08);
  }
  return fma(r * r, tail, r);
}

// x where exp(x) rounds to zero, and where it overflows.
template <class V>
HD V exp_lowest() {
  return constant<V>(-104.0, -746.0);
}
template <class V>
HD V exp_highest() {
  return constant<V>(89.0, 710.0);
}

// Error: 1.1 ULP.
template <class V>
HD V exp(V x) {
  V n;
  const V r = reduce(at_most(at_least(x, exp_lowest<V>()), exp_highest<V>()), n);
  return scale_by_power(V(1) + expm1_reduced(r), n);
}

// exp(x) - 1 for x <= 0, meaningless otherwise. Error: 1.2 ULP.
template <class V>
HD V expm1_of_nonpositive(V x) {
  V n;
  const V r = reduce(at_least(x, constant<V>(-18.0, -38.0)), n);
  const V power = power_of_two(n);
  return fma(expm1_reduced(r), power, power - V(1));
}

// exp(x) - 1. Error: 2 ULP.
template <class V>
HD V expm1(V x) {
  V n;
  const V r = reduce(at_most(at_least(x, constant<V>(-18.0, -38.0)), exp_highest<V>()), n);
  const V half_power = power_of_two(n - V(1));  // the power itself may overflow before the result does
  const V half = fma(expm1_reduced(r), half_power, half_power - V(0.5));
  return half + half;
}

// tanh(x) = (1 - e) / (1 + e), e = exp(-2|x|). In double the quotient's error exceeds 2 ULP below 1/2, where tanh's own
// polynomial takes its place. Error: 2 ULP.
template <class V>
HD V tanh(V x) {
  const V a = abs(x);
  V n;
  const V m = expm1_reduced(reduce(at_least(V(-2) * a, constant<V>(-20.0, -40.0)), n));
  const V power = power_of_two(n);
  V y = fma(-m, power, V(1) - power) / fma(m, power, V(1) + power);
  if constexpr (!is_float<V>) {
    const V square = a * a;
    const V tail = polynomial(square, -0.3333333333333178, 0.13333333333093697, -0.05396825383988698,
                              0.021869485123976167, -0.008863183245820992, 0.0035916301099589085, -0.001452779230821719,
                              0.0005778537987506002, -0.00020822897200514513, 4.960330358000468e-05);
    y = select(a < V(0.5625), fma(a * square, tail, a), y);
  }
  return copysign(y, x);
}

// x - tanh(x): tanh's series below 1; above, (a - 1 + (a + 1) e) / (1 + e), e = exp(-2a), adds nothing of opposite
// sign. Error: 4 ULP.
template <class V>
HD V tanh_shrink(V x) {
  const V a = abs(x);
  const V square = a * a;
  V p;
  if constexpr (is_float<V>) {
    p = polynomial(square, 0.3333333316, -0.1333331052, 0.05396339164, -0.02182939694, 0.008697375661, -0.003206055525,
                   0.000922916403, -0.0001426146152);
  } else {
    p = polynomial(square, 0.333333333333333329, -0.13333333333333087, 0.0539682539680439758, -0.0218694885290549072,
                   0.00886323540338022347, -0.00359212666773974104, 0.00145582461861076829, -0.000589978976820590316,
                   0.000238956083181007267, -0.0000964606602656252634, 0.0000383862810567721898,
                   -0.0000146024038735187128, 4.98485501293945685e-6, -1.37768545401057343e-6, 2.62850302154239119e-7,
                   -2.50921467959260458e-8);
  }
  V n;
  const V m = expm1_reduced(reduce(at_least(V(-2) * a, constant<V>(-20.0, -40.0)), n));
  const V power = power_of_two(n);
  const V e = fma(m, power, power);
  const V above = fma(a + V(1), e, a - V(1)) / (V(1) + e);
  return copysign(select(a < V(1), a * square * p, above), x);
}

// ---- logarithm

// n * ln(2) + log(1 + f) for -0.25 <= f <= 0.5, by atanh's series in s = f / (2 + f) as in FreeBSD's msun.
template <class V>
HD V log_of_parts(V n, V f) {
  const V s = f / (V(2) + f);
  const V z = s * s;
  V tail;
  if constexpr (is_float<V>) {
    tail = polynomial(z, 0.666669488, 0.399576753, 0.303637385);
  } else {
    tail = polynomial(z, 0.6666666666667282, 0.39999999996102004, 0.2857142940581714, 0.22222137648139081,
                      0.1818639084159769, 0.15249496112348115, 0.15373544204189799);
  }
  const V half_square = V(0.5) * f * f;
  const V correction = fma(s, fma(z, tail, half_square), n * ln2_low<V>());
  return fma(n, ln2_high<V>(), f - (half_square - correction));
}

// Error: 1 ULP.
template <class V>
HD V log(V x) {
  V mantissa;
  const V n = split_exponent(x, mantissa);
  return log_of_parts(n, mantissa - V(1));
}

// log(1 + x). Error: 1 ULP.
template <class V>
HD V log1p(V x) {
  const V u = V(1) + x;
  const V lost = x - (u - V(1));
  V mantissa;
  const V n = split_exponent(u, mantissa);
  const V scaled = scale_by_power(lost, at_most(at_least(-n, V(-100)), V(100)));
  return select(x == V(Format<scalar_of<V>>::infinity), x, log_of_parts(n, (mantissa - V(1)) + scaled));
}

// log(1 + x) for 0 <= x <= 1. Error: 1 ULP.
template <class V>
HD V log1p_of_fraction(V x) {
  const auto halve = x >= V(0.5);
  return log_of_parts(select(halve, V(1), V(0)), select(halve, fma(V(0.5), x, V(-0.5)), x));
}

// log(1 + exp(x)). Error: 1.7 ULP.
template <class V>
HD V softplus(V x) {
  return at_least(x, V(0)) + log1p_of_fraction(exp(-abs(x)));
}

// ---- logistic

// x where x * sigmoid(x) rounds to zero, and where x * (1 - sigmoid(x)) is below an ULP of one and exp(2 x) finite.
template <class V>
HD V logistic_lowest() {
  return constant<V>(-110.0, -760.0);
}
template <class V>
HD V logistic_highest() {
  return V(44);
}

// The tail of an x that has none: adding -0 changes nothing, which compilers know of -0 only.
template <class V>
HD V no_tail() {
  return V(-0.0);
}

// factor * sigmoid(x + tail) for logistic_lowest <= x <= logistic_highest and |tail| below an ULP of x. Rounded into
// the subnormals only once: with r = x + tail - n ln(2) it is factor / (2^n + exp(-r)) * 2^n.
template <class V>
HD V times_sigmoid(V factor, V x, V tail) {
  V n;
  const V r = reduce(x, n) + tail;
  const V denominator = power_of_two(at_least(n, V(-100))) + (V(1) + expm1_reduced(-r));
  return scale_by_power(factor / denominator, n);
}

// 1 / (1 + exp(-x)). Error: 2.5 ULP.
template <class V>
HD V sigmoid(V x) {
  return times_sigmoid(V(1), at_most(at_least(x, logistic_lowest<V>()), logistic_highest<V>()), no_tail<V>());
}

// exp(x + tail) = (1 + m) * 2^power = value; the parts keep what value loses in the subnormals.
template <class V>
struct Exponential {
  V power, m, value;

  HD Exponential(V x, V tail) {
    m = expm1_reduced(reduce(x, power) + tail);
    const V bounded = power_of_two(at_least(power, V(-100)));
    value = fma(m, bounded, bounded);
  }
  // exp(x + tail) * factor
  HD V times(V factor) const { return scale_by_power(fma(factor, m, factor), power); }
};

// ---- normal distribution

// The upper tail of the standard normal distribution, P(X > a) = numerator / denominator * (1 + m) * 2^power, where
// (1 + m) * 2^power = exp(-a^2 / 2), for 0 <= a <= normal_highest. The power is left to the caller, as above.
template <class V>
struct NormalTail {
  V power, m, numerator, scaled, denominator;  // scaled = a * numerator
};

// a where a * P(X > a) rounds to zero.
template <class V>
HD V normal_highest() {
  return constant<V>(15.0, 39.0);
}

// exp(-a^2 / 2) times Mills' ratio, d / (2 + (sqrt(2 pi) a d + a g)) with g -> 0 as a grows: there the errors of a d
// cancel in a times the ratio.
template <class V>
HD NormalTail<V> normal_tail(V a) {
  NormalTail<V> t;
  const V square = a * a;
  t.m = expm1_reduced(fma(V(-0.5), product_rest(a, a, square), reduce(V(-0.5) * square, t.power)));
  V slope, rest;
  if constexpr (is_float<V>) {
    slope = V(2.5065999);
    t.numerator = polynomial(a, 1.0, 0.876322448, 0.366203785, 0.0811569467, 0.0082106553);
    rest = polynomial(a, 0.841814697, 0.207458124, 0.0202943292, 1.4988198e-05);
  } else {
    slope = V(2.5066282746310007);
    t.numerator = polynomial(a, 1.0, 1.6935032269245445, 1.4185244058820392, 0.7608335362664492, 0.28690488635398886,
                             0.07916099460210028, 0.01617046710269188, 0.0024190281054400535, 0.0002547695513544565,
                             1.719674559890372e-05, 5.730928485962649e-07);
    rest =
        polynomial(a, 2.47614730082382, 1.5677454415771404, 0.6443752782559728, 0.1867311265747428, 0.03927048675937909,
                   0.005977392647631665, 0.0006357394975479201, 4.310584877226709e-05, 1.4365307381611442e-06);
  }
  t.scaled = a * t.numerator;
  t.denominator = V(2) + fma(slope, t.scaled, a * rest);
  return t;
}

// P(X > a) for a >= 0
template <class V>
HD V upper_tail(V a) {
  const NormalTail<V> t = normal_tail(at_most(a, normal_highest<V>()));
  const V ratio = t.numerator / t.denominator;
  return scale_by_power(fma(ratio, t.m, ratio), t.power);
}

// P(X <= x), X standard normal. Error: 4 ULP.
template <class V>
HD V normal_cdf(V x) {
  const V tail = upper_tail(abs(x));
  return select(x > V(0), V(1) - tail, tail);
}

// Error: 1.6 ULP.
template <class V>
HD V erf(V x) {
  const V a = abs(x);
  const V square = a * a;
  V p;
  if constexpr (is_float<V>) {
    p = polynomial(square, 0.128379166, -0.37612626, 0.112835787, -0.0268533472, 0.00518716313, -0.000799792353,
                   7.80764749e-05);
  } else {
    p = polynomial(square, 0.12837916709551256, -0.37612638903183376, 0.11283791670939436, -0.026866170642465787,
                   0.0052239776014687085, -0.0008548325730135171, 0.00012055288190212698, -1.4924617906603583e-05,
                   1.64460617117488e-06, -1.61987431017488e-07, 1.3680566086601966e-08, -7.726494617037071e-10);
  }
  const V complement = V(2) * upper_tail(V(1.41421356237309504880) * a);
  return copysign(select(a < V(1), fma(a, p, a), V(1) - complement), x);
}

}  // namespace evenflow
