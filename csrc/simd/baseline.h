// The vector vocabulary on any architecture, in the vector extensions of GCC and Clang: 4 floats or 2 doubles.
// avx512.h, avx2.h and baseline.h hold the same words in the same order; functions are friends, found by argument.
#pragma once

#include <cstddef>

#include "math/vocabulary.h"

namespace evenflow::baseline {

template <class T>
struct Vec;
template <class T>
struct Mask;

// 64-bit numbers, each with two words.
struct Words {
  typedef std::uint64_t native __attribute__((vector_size(16)));
  static constexpr int lanes = 2;
  native r;

  EVENFLOW_INLINE explicit Words(native x) : r(x) {}
  EVENFLOW_INLINE explicit Words(std::uint64_t x) : r{x, x} {}

  EVENFLOW_INLINE static Words load(const std::uint64_t* from) { return Words(native{from[0], from[1]}); }
  EVENFLOW_INLINE friend Words operator+(Words a, Words b) { return Words(a.r + b.r); }
  EVENFLOW_INLINE friend Words operator^(Words a, Words b) { return Words(a.r ^ b.r); }
  // The product of the lower words; the upper word.
  EVENFLOW_INLINE friend Words multiply_words(Words a, Words b) {
    return Words((a.r & 0xffffffffu) * (b.r & 0xffffffffu));
  }
  EVENFLOW_INLINE friend Words upper_word(Words a) { return Words(a.r >> 32); }
  // The lower words of a, b, c and d side by side, lane after lane: even lanes first, then odd ones.
  EVENFLOW_INLINE static void store(Words a, Words b, Words c, Words d, std::uint32_t* to) {
    const native ab = (a.r & 0xffffffffu) | (b.r << 32), cd = (c.r & 0xffffffffu) | (d.r << 32);
    const native even = __builtin_shufflevector(ab, cd, 0, 2), odd = __builtin_shufflevector(ab, cd, 1, 3);
    std::memcpy(to, &even, sizeof even);
    std::memcpy(to + 2 * lanes, &odd, sizeof odd);
  }
};

// ---- float

template <>
struct Mask<float> {
  typedef std::int32_t integers __attribute__((vector_size(16)));
  integers bits;

  EVENFLOW_INLINE friend Mask operator&(Mask a, Mask b) { return {a.bits & b.bits}; }
  EVENFLOW_INLINE friend Mask operator|(Mask a, Mask b) { return {a.bits | b.bits}; }
  EVENFLOW_INLINE friend Mask operator!(Mask a) { return {~a.bits}; }
};

template <>
struct Vec<float> {
  using scalar = float;
  using mask = Mask<float>;
  using words = Words;
  typedef float native __attribute__((vector_size(16)));
  typedef std::int32_t integers __attribute__((vector_size(16)));
  static constexpr int lanes = 4;
  static constexpr int registers = 16;

  native r;

  Vec() = default;  // uninitialised
  EVENFLOW_INLINE explicit Vec(native x) : r(x) {}
  EVENFLOW_INLINE explicit Vec(float x) : r{x, x, x, x} {}
  EVENFLOW_INLINE explicit Vec(double x) : Vec(static_cast<float>(x)) {}
  EVENFLOW_INLINE explicit Vec(int x) : Vec(static_cast<float>(x)) {}

  // Memory need not be aligned. With n, 0 <= n <= lanes: the first n lanes, the rest 0; nothing past n is touched.
  EVENFLOW_INLINE static Vec load(const float* from) {
    Vec x;
    std::memcpy(&x.r, from, sizeof x.r);
    return x;
  }
  EVENFLOW_INLINE static Vec load(const float* from, int n) {
    return Vec(native{n > 0 ? from[0] : 0.0f, n > 1 ? from[1] : 0.0f, n > 2 ? from[2] : 0.0f, n > 3 ? from[3] : 0.0f});
  }
  EVENFLOW_INLINE void store(float* to) const { std::memcpy(to, &r, sizeof r); }
  EVENFLOW_INLINE void store(float* to, int n) const {
    for (int i = 0; i < n; ++i) to[i] = r[i];
  }

  // 16-bit and 32-bit integers as numbers, and where 16-bit ones are below a limit.
  template <class Integer>
  EVENFLOW_INLINE static Vec from_integers(const Integer* from) {
    Integer x[lanes];
    std::memcpy(x, from, sizeof x);
    return Vec(__builtin_convertvector(integers{x[0], x[1], x[2], x[3]}, native));
  }
  EVENFLOW_INLINE static mask below(const std::int16_t* from, std::int16_t limit) {
    std::int16_t x[lanes];
    std::memcpy(x, from, sizeof x);
    return {integers{x[0], x[1], x[2], x[3]} < integers{limit, limit, limit, limit}};
  }

  // True in the first n lanes, 0 <= n <= lanes.
  EVENFLOW_INLINE static mask first(int n) { return {integers{0, 1, 2, 3} < integers{n, n, n, n}}; }

  EVENFLOW_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(a.r + b.r); }
  EVENFLOW_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(a.r - b.r); }
  EVENFLOW_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(a.r * b.r); }
  EVENFLOW_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(a.r / b.r); }
  EVENFLOW_INLINE friend Vec operator-(Vec a) { return Vec(-a.r); }
  EVENFLOW_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  EVENFLOW_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  EVENFLOW_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  EVENFLOW_INLINE friend mask operator<(Vec a, Vec b) { return {a.r < b.r}; }
  EVENFLOW_INLINE friend mask operator<=(Vec a, Vec b) { return {a.r <= b.r}; }
  EVENFLOW_INLINE friend mask operator>(Vec a, Vec b) { return {a.r > b.r}; }
  EVENFLOW_INLINE friend mask operator>=(Vec a, Vec b) { return {a.r >= b.r}; }
  EVENFLOW_INLINE friend mask operator==(Vec a, Vec b) { return {a.r == b.r}; }
  EVENFLOW_INLINE friend Vec select(mask m, Vec yes, Vec no) {
    return Vec((native)(((integers)yes.r & m.bits) | ((integers)no.r & ~m.bits)));
  }
  EVENFLOW_INLINE friend mask is_nan(Vec a) { return {a.r != a.r}; }

  // a * b + c, with two roundings where the processor has no such instruction.
  EVENFLOW_INLINE friend Vec fma(Vec a, Vec b, Vec c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    for (int i = 0; i < lanes; ++i) c.r[i] = __builtin_fmaf(a.r[i], b.r[i], c.r[i]);
    return c;
#else
    return a * b + c;
#endif
  }
  // a * b - product, what rounding took from product = a * b.
  EVENFLOW_INLINE friend Vec product_rest(Vec a, Vec b, Vec product) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return fma(a, b, -product);
#else  // Dekker: the halves' products are exact
    const Vec a_high((native)((integers)a.r & Format<float>::high_part)), a_low = a - a_high;
    const Vec b_high((native)((integers)b.r & Format<float>::high_part)), b_low = b - b_high;
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
  }

  // NaN if either argument is NaN, like numpy.maximum.
  EVENFLOW_INLINE friend Vec max(Vec a, Vec b) { return select((a > b) | is_nan(a), a, b); }
  EVENFLOW_INLINE friend Vec min(Vec a, Vec b) { return select((a < b) | is_nan(a), a, b); }
  // max and min with a bound that is not NaN; NaN in x passes through.
  EVENFLOW_INLINE friend Vec at_least(Vec x, Vec bound) { return select(x < bound, bound, x); }
  EVENFLOW_INLINE friend Vec at_most(Vec x, Vec bound) { return select(x > bound, bound, x); }

  EVENFLOW_INLINE friend Vec abs(Vec a) { return Vec((native)((integers)a.r & ~(integers)Vec(-0.0f).r)); }
  EVENFLOW_INLINE friend Vec sqrt(Vec a) {
    return Vec(
        native{__builtin_sqrtf(a.r[0]), __builtin_sqrtf(a.r[1]), __builtin_sqrtf(a.r[2]), __builtin_sqrtf(a.r[3])});
  }
  EVENFLOW_INLINE friend Vec round_even(Vec a) {
    const Vec shift = copysign(Vec(Format<float>::integral_from), a);
    return select(abs(a) < Vec(Format<float>::integral_from), copysign((a + shift) - shift, a), a);
  }
  EVENFLOW_INLINE friend Vec copysign(Vec magnitude, Vec sign) {
    const integers from_sign = (integers)Vec(-0.0f).r;
    return Vec((native)((from_sign & (integers)sign.r) | (~from_sign & (integers)magnitude.r)));
  }

  // 2^n for integral n, |n| < bias.
  EVENFLOW_INLINE friend Vec power_of_two(Vec n) {
    const Vec biased = n + Vec(Format<float>::round_shift + static_cast<float>(Format<float>::bias));
    return Vec((native)((integers)biased.r << 23));
  }
  // x * 2^n for integral n, |n| < 2 * bias; rounded once if x * 2^(n/2) is a normal number, as it is for x near 1.
  EVENFLOW_INLINE friend Vec scale_by_power(Vec x, Vec n) {
    const Vec shift(Format<float>::round_shift);
    const Vec half = fma(n, Vec(0.5), shift) - shift;
    return (x * power_of_two(half)) * power_of_two(n - half);
  }
  // x = mantissa * 2^result, mantissa in [0.75, 1.5), subnormal x too. So that log is right without a special case:
  // 0 gives (-inf, 1), inf (inf, 1), NaN and negative x a NaN mantissa.
  EVENFLOW_INLINE friend Vec split_exponent(Vec x, Vec& mantissa) {
    typedef std::uint32_t naturals __attribute__((vector_size(16)));
    const mask subnormal = x < Vec(Format<float>::smallest_normal);
    const naturals bits = (naturals)select(subnormal, x * Vec(Format<float>::subnormal_scale), x).r;
    const integers exponent = (integers)((bits + (1u << 22)) >> 23) - 127;
    mantissa = select(x >= Vec(0.0f), Vec((native)(bits - ((naturals)exponent << 23))), Vec(Format<float>::nan));
    const Vec result = Vec(__builtin_convertvector(exponent, native)) - select(subnormal, Vec(24.0f), Vec(0.0f));
    const Vec infinity(Format<float>::infinity);
    return select(x == Vec(0.0f), -infinity, select(x == infinity, infinity, result));
  }

  // Halves are added, then halves of the sum, down to one lane.
  EVENFLOW_INLINE friend float sum(Vec x) { return (x.r[0] + x.r[2]) + (x.r[1] + x.r[3]); }
  // NaN if any lane is NaN.
  EVENFLOW_INLINE friend float maximum(Vec x) {
    x = max(x, Vec(native{x.r[2], x.r[3], x.r[0], x.r[1]}));
    x = max(x, Vec(native{x.r[1], x.r[0], x.r[3], x.r[2]}));
    return x.r[0];
  }

  // to[j][i] = from[i][j], a block of lanes x lanes; strides in elements.
  EVENFLOW_INLINE static void transpose(const float* from, std::ptrdiff_t from_stride, float* to,
                                        std::ptrdiff_t to_stride) {
    const native a = load(from).r, b = load(from + from_stride).r;
    const native c = load(from + 2 * from_stride).r, d = load(from + 3 * from_stride).r;
    const native ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const native cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    Vec(__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5)).store(to);
    Vec(__builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7)).store(to + to_stride);
    Vec(__builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5)).store(to + 2 * to_stride);
    Vec(__builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)).store(to + 3 * to_stride);
  }

  // m / (sqrt(v) + epsilon)
  EVENFLOW_INLINE friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) { return m / (sqrt(v) + epsilon); }
};

// ---- double

template <>
struct Mask<double> {
  typedef std::int64_t integers __attribute__((vector_size(16)));
  integers bits;

  EVENFLOW_INLINE friend Mask operator&(Mask a, Mask b) { return {a.bits & b.bits}; }
  EVENFLOW_INLINE friend Mask operator|(Mask a, Mask b) { return {a.bits | b.bits}; }
  EVENFLOW_INLINE friend Mask operator!(Mask a) { return {~a.bits}; }
};

template <>
struct Vec<double> {
  using scalar = double;
  using mask = Mask<double>;
  using words = Words;
  typedef double native __attribute__((vector_size(16)));
  typedef std::int64_t integers __attribute__((vector_size(16)));
  static constexpr int lanes = 2;
  static constexpr int registers = 16;

  native r;

  Vec() = default;  // uninitialised
  EVENFLOW_INLINE explicit Vec(native x) : r(x) {}
  EVENFLOW_INLINE explicit Vec(float x) : Vec(static_cast<double>(x)) {}
  EVENFLOW_INLINE explicit Vec(double x) : r{x, x} {}
  EVENFLOW_INLINE explicit Vec(int x) : Vec(static_cast<double>(x)) {}

  EVENFLOW_INLINE static Vec load(const double* from) {
    Vec x;
    std::memcpy(&x.r, from, sizeof x.r);
    return x;
  }
  EVENFLOW_INLINE static Vec load(const double* from, int n) {
    return Vec(native{n > 0 ? from[0] : 0.0, n > 1 ? from[1] : 0.0});
  }
  EVENFLOW_INLINE void store(double* to) const { std::memcpy(to, &r, sizeof r); }
  EVENFLOW_INLINE void store(double* to, int n) const {
    for (int i = 0; i < n; ++i) to[i] = r[i];
  }

  template <class Integer>
  EVENFLOW_INLINE static Vec from_integers(const Integer* from) {
    Integer x[lanes];
    std::memcpy(x, from, sizeof x);
    return Vec(native{static_cast<double>(x[0]), static_cast<double>(x[1])});
  }
  EVENFLOW_INLINE static mask below(const std::int16_t* from, std::int16_t limit) {
    std::int16_t x[lanes];
    std::memcpy(x, from, sizeof x);
    return {integers{x[0], x[1]} < integers{limit, limit}};
  }

  EVENFLOW_INLINE static mask first(int n) { return {integers{0, 1} < integers{n, n}}; }

  EVENFLOW_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(a.r + b.r); }
  EVENFLOW_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(a.r - b.r); }
  EVENFLOW_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(a.r * b.r); }
  EVENFLOW_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(a.r / b.r); }
  EVENFLOW_INLINE friend Vec operator-(Vec a) { return Vec(-a.r); }
  EVENFLOW_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  EVENFLOW_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  EVENFLOW_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  EVENFLOW_INLINE friend mask operator<(Vec a, Vec b) { return {a.r < b.r}; }
  EVENFLOW_INLINE friend mask operator<=(Vec a, Vec b) { return {a.r <= b.r}; }
  EVENFLOW_INLINE friend mask operator>(Vec a, Vec b) { return {a.r > b.r}; }
  EVENFLOW_INLINE friend mask operator>=(Vec a, Vec b) { return {a.r >= b.r}; }
  EVENFLOW_INLINE friend mask operator==(Vec a, Vec b) { return {a.r == b.r}; }
  EVENFLOW_INLINE friend Vec select(mask m, Vec yes, Vec no) {
    return Vec((native)(((integers)yes.r & m.bits) | ((integers)no.r & ~m.bits)));
  }
  EVENFLOW_INLINE friend mask is_nan(Vec a) { return {a.r != a.r}; }

  EVENFLOW_INLINE friend Vec fma(Vec a, Vec b, Vec c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    for (int i = 0; i < lanes; ++i) c.r[i] = __builtin_fma(a.r[i], b.r[i], c.r[i]);
    return c;
#else
    return a * b + c;
#endif
  }
  EVENFLOW_INLINE friend Vec product_rest(Vec a, Vec b, Vec product) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return fma(a, b, -product);
#else  // Dekker: the halves' products are exact
    const Vec a_high((native)((integers)a.r & Format<double>::high_part)), a_low = a - a_high;
    const Vec b_high((native)((integers)b.r & Format<double>::high_part)), b_low = b - b_high;
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
  }

  EVENFLOW_INLINE friend Vec max(Vec a, Vec b) { return select((a > b) | is_nan(a), a, b); }
  EVENFLOW_INLINE friend Vec min(Vec a, Vec b) { return select((a < b) | is_nan(a), a, b); }
  EVENFLOW_INLINE friend Vec at_least(Vec x, Vec bound) { return select(x < bound, bound, x); }
  EVENFLOW_INLINE friend Vec at_most(Vec x, Vec bound) { return select(x > bound, bound, x); }

  EVENFLOW_INLINE friend Vec abs(Vec a) { return Vec((native)((integers)a.r & ~(integers)Vec(-0.0).r)); }
  EVENFLOW_INLINE friend Vec sqrt(Vec a) { return Vec(native{__builtin_sqrt(a.r[0]), __builtin_sqrt(a.r[1])}); }
  EVENFLOW_INLINE friend Vec round_even(Vec a) {
    const Vec shift = copysign(Vec(Format<double>::integral_from), a);
    return select(abs(a) < Vec(Format<double>::integral_from), copysign((a + shift) - shift, a), a);
  }
  EVENFLOW_INLINE friend Vec copysign(Vec magnitude, Vec sign) {
    const integers from_sign = (integers)Vec(-0.0).r;
    return Vec((native)((from_sign & (integers)sign.r) | (~from_sign & (integers)magnitude.r)));
  }

  EVENFLOW_INLINE friend Vec power_of_two(Vec n) {
    const Vec biased = n + Vec(Format<double>::round_shift + Format<double>::bias);
    return Vec((native)((integers)biased.r << 52));
  }
  EVENFLOW_INLINE friend Vec scale_by_power(Vec x, Vec n) {
    const Vec shift(Format<double>::round_shift);
    const Vec half = fma(n, Vec(0.5), shift) - shift;
    return (x * power_of_two(half)) * power_of_two(n - half);
  }
  EVENFLOW_INLINE friend Vec split_exponent(Vec x, Vec& mantissa) {
    typedef std::uint64_t naturals __attribute__((vector_size(16)));
    const mask subnormal = x < Vec(Format<double>::smallest_normal);
    const naturals bits = (naturals)select(subnormal, x * Vec(Format<double>::subnormal_scale), x).r;
    const naturals biased = (bits + (std::uint64_t{1} << 51)) >> 52;
    mantissa = select(x >= Vec(0.0), Vec((native)(bits - ((biased - 1023) << 52))), Vec(Format<double>::nan));
    // Few processors convert 64-bit integers: put them in the mantissa of 2^52.
    const Vec shift(Format<double>::integral_from);
    const Vec shifted((native)((integers)biased | (integers)shift.r));
    const Vec result = (shifted - shift) - select(subnormal, Vec(1023.0 + 53.0), Vec(1023.0));
    const Vec infinity(Format<double>::infinity);
    return select(x == Vec(0.0), -infinity, select(x == infinity, infinity, result));
  }

  EVENFLOW_INLINE friend double sum(Vec x) { return x.r[0] + x.r[1]; }
  EVENFLOW_INLINE friend double maximum(Vec x) { return max(x, Vec(native{x.r[1], x.r[0]})).r[0]; }

  EVENFLOW_INLINE static void transpose(const double* from, std::ptrdiff_t from_stride, double* to,
                                        std::ptrdiff_t to_stride) {
    const native a = load(from).r, b = load(from + from_stride).r;
    Vec(__builtin_shufflevector(a, b, 0, 2)).store(to);
    Vec(__builtin_shufflevector(a, b, 1, 3)).store(to + to_stride);
  }

  EVENFLOW_INLINE friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) { return m / (sqrt(v) + epsilon); }
};

}  // namespace evenflow::baseline
