// The vocabulary formulas are written in, for V = float and V = double, on the host and under nvcc.
// simd/*.h give the same words for vectors, found there by argument-dependent lookup.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__CUDACC__)
#define EVENFLOW_INLINE __host__ __device__ __forceinline__
#elif defined(_MSC_VER) && !defined(__clang__)
#define EVENFLOW_INLINE __forceinline
#else
#define EVENFLOW_INLINE inline __attribute__((always_inline))
#endif

// Always inlined, so that no symbol is emitted without an instruction set in its name.
#define HD EVENFLOW_INLINE

namespace evenflow {

template <class V>
struct ScalarOf {
  using type = typename V::scalar;
};
template <>
struct ScalarOf<float> {
  using type = float;
};
template <>
struct ScalarOf<double> {
  using type = double;
};

// Types that folds go over.
template <class... Types>
struct List {
  static constexpr int size = sizeof...(Types);
};

// The element type of a value type: float for float and for every Vec<float>.
template <class V>
using scalar_of = typename ScalarOf<V>::type;

// What the formulas need to know of IEEE 754's formats.
template <class T>
struct Format;
template <>
struct Format<float> {
  using integer = std::int32_t;
  using natural = std::uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr int bias = 127;
  static constexpr integer high_part = -(integer{1} << 12);   // keeps the mantissa's upper half
  static constexpr float integral_from = 8388608.0f;          // 2^mantissa_bits: from here on all numbers are integers
  static constexpr float round_shift = 1.5f * integral_from;  // adding it leaves an integer in the low bits
  static constexpr float subnormal_scale = 2.0f * integral_from;  // makes every subnormal number normal
  static constexpr float smallest_normal = std::numeric_limits<float>::min();
  static constexpr float largest = std::numeric_limits<float>::max();
  static constexpr float infinity = std::numeric_limits<float>::infinity();
  static constexpr float nan = std::numeric_limits<float>::quiet_NaN();
};
template <>
struct Format<double> {
  using integer = std::int64_t;
  using natural = std::uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr int bias = 1023;
  static constexpr integer high_part = -(integer{1} << 27);
  static constexpr double integral_from = 4503599627370496.0;
  static constexpr double round_shift = 1.5 * integral_from;
  static constexpr double subnormal_scale = 2.0 * integral_from;
  static constexpr double smallest_normal = std::numeric_limits<double>::min();
  static constexpr double largest = std::numeric_limits<double>::max();
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
};

template <class T>
HD typename Format<T>::integer bits_of(T x) {
  typename Format<T>::integer bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}

template <class T>
HD T from_bits(typename Format<T>::integer bits) {
  T x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
HD T select(bool mask, T yes, T no) {
  return mask ? yes : no;
}

template <class T>
HD bool is_nan(T x) {
  return x != x;
}

// a * b + c, with two roundings only where the processor has no such instruction.
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
HD float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
HD double fma(double a, double b, double c) { return ::fma(a, b, c); }
#else
HD float fma(float a, float b, float c) { return a * b + c; }
HD double fma(double a, double b, double c) { return a * b + c; }
#endif

// a * b - product, what rounding took from product = a * b.
template <class T>
HD T product_rest(T a, T b, T product) {
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return fma(a, b, -product);
#else  // Dekker: the halves' products are exact
  const T a_high = from_bits<T>(bits_of(a) & Format<T>::high_part), a_low = a - a_high;
  const T b_high = from_bits<T>(bits_of(b) & Format<T>::high_part), b_low = b - b_high;
  return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
}

// NaN if either argument is NaN, like numpy.maximum.
template <class T>
HD T max(T a, T b) {
  return (a > b || a != a) ? a : b;
}
template <class T>
HD T min(T a, T b) {
  return (a < b || a != a) ? a : b;
}
// max and min with a bound that is not NaN; NaN in x passes through.
template <class T>
HD T at_least(T x, T bound) {
  return x < bound ? bound : x;
}
template <class T>
HD T at_most(T x, T bound) {
  return x > bound ? bound : x;
}

HD float abs(float x) { return ::fabsf(x); }
HD double abs(double x) { return ::fabs(x); }
// 0 and NaN are their own.
template <class V>
HD V sign(V x) {
  return select(x > V(0), V(1), select(x < V(0), V(-1), x));
}
HD float sqrt(float x) { return ::sqrtf(x); }
HD double sqrt(double x) { return ::sqrt(x); }
HD float copysign(float magnitude, float sign) { return ::copysignf(magnitude, sign); }
HD double copysign(double magnitude, double sign) { return ::copysign(magnitude, sign); }

template <class T>
HD T round_even(T x) {
  const T shift = copysign(Format<T>::integral_from, x);
  return abs(x) < Format<T>::integral_from ? copysign((x + shift) - shift, x) : x;
}

// 2^n for integral n, |n| < bias.
template <class T>
HD T power_of_two(T n) {
  using F = Format<T>;
  const auto biased = static_cast<typename F::natural>(bits_of(n + (F::round_shift + T(F::bias))));
  return from_bits<T>(static_cast<typename F::integer>(biased << F::mantissa_bits));
}

// x * 2^n for integral n, |n| < 2 * bias; rounded once if x * 2^(n/2) is a normal number, as it is for x near 1.
template <class T>
HD T scale_by_power(T x, T n) {
  const T half = fma(n, T(0.5), Format<T>::round_shift) - Format<T>::round_shift;
  return (x * power_of_two(half)) * power_of_two(n - half);
}

// x = mantissa * 2^result, mantissa in [0.75, 1.5), subnormal x too. So that log is right without a special case:
// 0 gives (-inf, 1), inf (inf, 1), NaN and negative x a NaN mantissa.
template <class T>
HD T split_exponent(T x, T& mantissa) {
  using F = Format<T>;
  using natural = typename F::natural;
  const bool subnormal = x < F::smallest_normal;
  const auto bits = bits_of(subnormal ? x * F::subnormal_scale : x);
  const auto biased = static_cast<natural>(bits) + (natural{1} << (F::mantissa_bits - 1));
  const int exponent = static_cast<int>(biased >> F::mantissa_bits) - F::bias;
  const auto normalized = static_cast<natural>(bits) - (static_cast<natural>(exponent) << F::mantissa_bits);
  mantissa = x >= T(0) ? from_bits<T>(static_cast<typename F::integer>(normalized)) : F::nan;
  const T result = T(exponent - (subnormal ? F::mantissa_bits + 1 : 0));
  return x == T(0) ? -F::infinity : x == F::infinity ? F::infinity : result;
}

// 64-bit numbers as two words: the product of the lower ones, and the upper one alone.
HD std::uint64_t multiply_words(std::uint64_t a, std::uint64_t b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }
HD std::uint64_t upper_word(std::uint64_t a) { return a >> 32; }

// m / (sqrt(v) + epsilon)
template <class T>
HD T ratio_to_root(T m, T v, T epsilon) {
  return m / (sqrt(v) + epsilon);
}

}  // namespace evenflow
