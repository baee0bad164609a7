// The vector vocabulary on AVX2 and FMA: 8 floats or 4 doubles.
// avx512.h, avx2.h and baseline.h hold the same words in the same order; functions are friends, found by argument.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "math/vocabulary.h"

namespace evenflow::avx2 {

template <class T>
struct Vec;
template <class T>
struct Mask;

// 64-bit numbers, each with two words.
struct Words {
  static constexpr int lanes = 4;
  __m256i r;

  EVENFLOW_INLINE explicit Words(__m256i x) : r(x) {}
  EVENFLOW_INLINE explicit Words(std::uint64_t x) : r(_mm256_set1_epi64x(static_cast<std::int64_t>(x))) {}

  EVENFLOW_INLINE static Words load(const std::uint64_t* from) {
    return Words(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  EVENFLOW_INLINE friend Words operator+(Words a, Words b) { return Words(_mm256_add_epi64(a.r, b.r)); }
  EVENFLOW_INLINE friend Words operator^(Words a, Words b) { return Words(_mm256_xor_si256(a.r, b.r)); }
  // The product of the lower words; the upper word.
  EVENFLOW_INLINE friend Words multiply_words(Words a, Words b) { return Words(_mm256_mul_epu32(a.r, b.r)); }
  EVENFLOW_INLINE friend Words upper_word(Words a) { return Words(_mm256_srli_epi64(a.r, 32)); }
  // The lower words of a, b, c and d side by side, lane after lane: even lanes first, then odd ones.
  EVENFLOW_INLINE static void store(Words a, Words b, Words c, Words d, std::uint32_t* to) {
    const __m256i ab = _mm256_blend_epi32(a.r, _mm256_slli_epi64(b.r, 32), 0xAA);
    const __m256i cd = _mm256_blend_epi32(c.r, _mm256_slli_epi64(d.r, 32), 0xAA);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_unpacklo_epi64(ab, cd));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 2 * lanes), _mm256_unpackhi_epi64(ab, cd));
  }
};

// ---- float

template <>
struct Mask<float> {
  __m256 bits;

  EVENFLOW_INLINE friend Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator!(Mask a) {
    return {_mm256_xor_ps(a.bits, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
  }
};

template <>
struct Vec<float> {
  using scalar = float;
  using mask = Mask<float>;
  using words = Words;
  using native = __m256;
  static constexpr int lanes = 8;
  static constexpr int registers = 16;

  native r;

  Vec() = default;  // uninitialised
  EVENFLOW_INLINE explicit Vec(native x) : r(x) {}
  EVENFLOW_INLINE explicit Vec(float x) : r(_mm256_set1_ps(x)) {}
  EVENFLOW_INLINE explicit Vec(double x) : r(_mm256_set1_ps(static_cast<float>(x))) {}
  EVENFLOW_INLINE explicit Vec(int x) : r(_mm256_set1_ps(static_cast<float>(x))) {}

  // Memory need not be aligned. With n, 0 <= n <= lanes: the first n lanes, the rest 0; nothing past n is touched.
  EVENFLOW_INLINE static Vec load(const float* from) { return Vec(_mm256_loadu_ps(from)); }
  EVENFLOW_INLINE static Vec load(const float* from, int n) {
    return Vec(_mm256_maskload_ps(from, _mm256_castps_si256(first(n).bits)));
  }
  EVENFLOW_INLINE void store(float* to) const { _mm256_storeu_ps(to, r); }
  EVENFLOW_INLINE void store(float* to, int n) const { _mm256_maskstore_ps(to, _mm256_castps_si256(first(n).bits), r); }

  // 16-bit and 32-bit integers as numbers, and where 16-bit ones are below a limit.
  EVENFLOW_INLINE static Vec from_integers(const std::int16_t* from) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return Vec(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(x)));
  }
  EVENFLOW_INLINE static Vec from_integers(const std::int32_t* from) {
    return Vec(_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
  }
  EVENFLOW_INLINE static mask below(const std::int16_t* from, std::int16_t limit) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return {_mm256_castsi256_ps(_mm256_cvtepi16_epi32(_mm_cmplt_epi16(x, _mm_set1_epi16(limit))))};
  }

  // True in the first n lanes, 0 <= n <= lanes.
  EVENFLOW_INLINE static mask first(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane))};
  }

  EVENFLOW_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(_mm256_add_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(_mm256_sub_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(_mm256_mul_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(_mm256_div_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a) { return Vec(_mm256_xor_ps(a.r, _mm256_set1_ps(-0.0f))); }
  EVENFLOW_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  EVENFLOW_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  EVENFLOW_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  EVENFLOW_INLINE friend mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_LT_OQ)}; }
  EVENFLOW_INLINE friend mask operator<=(Vec a, Vec b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_LE_OQ)}; }
  EVENFLOW_INLINE friend mask operator>(Vec a, Vec b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_GT_OQ)}; }
  EVENFLOW_INLINE friend mask operator>=(Vec a, Vec b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_GE_OQ)}; }
  EVENFLOW_INLINE friend mask operator==(Vec a, Vec b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_EQ_OQ)}; }
  EVENFLOW_INLINE friend Vec select(mask m, Vec yes, Vec no) { return Vec(_mm256_blendv_ps(no.r, yes.r, m.bits)); }
  EVENFLOW_INLINE friend mask is_nan(Vec a) { return {_mm256_cmp_ps(a.r, a.r, _CMP_UNORD_Q)}; }

  // a * b + c
  EVENFLOW_INLINE friend Vec fma(Vec a, Vec b, Vec c) { return Vec(_mm256_fmadd_ps(a.r, b.r, c.r)); }
  // a * b - product, what rounding took from product = a * b.
  EVENFLOW_INLINE friend Vec product_rest(Vec a, Vec b, Vec product) {
    return Vec(_mm256_fmsub_ps(a.r, b.r, product.r));
  }

  // NaN if either argument is NaN, like numpy.maximum.
  EVENFLOW_INLINE friend Vec max(Vec a, Vec b) { return select(is_nan(a), a, Vec(_mm256_max_ps(a.r, b.r))); }
  EVENFLOW_INLINE friend Vec min(Vec a, Vec b) { return select(is_nan(a), a, Vec(_mm256_min_ps(a.r, b.r))); }
  // max and min with a bound that is not NaN, in one instruction; NaN in x passes through.
  EVENFLOW_INLINE friend Vec at_least(Vec x, Vec bound) { return Vec(_mm256_max_ps(bound.r, x.r)); }
  EVENFLOW_INLINE friend Vec at_most(Vec x, Vec bound) { return Vec(_mm256_min_ps(bound.r, x.r)); }

  EVENFLOW_INLINE friend Vec abs(Vec a) { return Vec(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.r)); }
  EVENFLOW_INLINE friend Vec sqrt(Vec a) { return Vec(_mm256_sqrt_ps(a.r)); }
  EVENFLOW_INLINE friend Vec round_even(Vec a) {
    return Vec(_mm256_round_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  EVENFLOW_INLINE friend Vec copysign(Vec magnitude, Vec sign) {
    const __m256 from_sign = _mm256_set1_ps(-0.0f);
    return Vec(_mm256_or_ps(_mm256_and_ps(from_sign, sign.r), _mm256_andnot_ps(from_sign, magnitude.r)));
  }

  // 2^n for integral n, |n| < bias.
  EVENFLOW_INLINE friend Vec power_of_two(Vec n) {
    const Vec biased = n + Vec(Format<float>::round_shift + static_cast<float>(Format<float>::bias));
    return Vec(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(biased.r), 23)));
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
    const mask subnormal = x < Vec(Format<float>::smallest_normal);
    const __m256i bits = _mm256_castps_si256(select(subnormal, x * Vec(Format<float>::subnormal_scale), x).r);
    const __m256i biased = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(1 << 22)), 23);
    const __m256i exponent = _mm256_sub_epi32(biased, _mm256_set1_epi32(127));
    const Vec normalized(_mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(exponent, 23))));
    mantissa = select(x >= Vec(0.0f), normalized, Vec(Format<float>::nan));
    const Vec result = Vec(_mm256_cvtepi32_ps(exponent)) - select(subnormal, Vec(24.0f), Vec(0.0f));
    const Vec infinity(Format<float>::infinity);
    return select(x == Vec(0.0f), -infinity, select(x == infinity, infinity, result));
  }

  // Halves are added, then halves of the sum, down to one lane.
  EVENFLOW_INLINE friend float sum(Vec x) {
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(x.r), _mm256_extractf128_ps(x.r, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  // NaN if any lane is NaN.
  EVENFLOW_INLINE friend float maximum(Vec x) {
    x = max(x, Vec(_mm256_permute2f128_ps(x.r, x.r, 0x01)));
    x = max(x, Vec(_mm256_permute_ps(x.r, _MM_SHUFFLE(1, 0, 3, 2))));
    x = max(x, Vec(_mm256_permute_ps(x.r, _MM_SHUFFLE(2, 3, 0, 1))));
    return _mm256_cvtss_f32(x.r);
  }

  // to[j][i] = from[i][j], a block of lanes x lanes; strides in elements.
  EVENFLOW_INLINE static void transpose(const float* from, std::ptrdiff_t from_stride, float* to,
                                        std::ptrdiff_t to_stride) {
    __m256 a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(from + i * from_stride);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
      b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      a[i] = _mm256_shuffle_ps(b[i], b[i + 2], _MM_SHUFFLE(1, 0, 1, 0));
      a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], _MM_SHUFFLE(3, 2, 3, 2));
      a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], _MM_SHUFFLE(1, 0, 1, 0));
      a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
      _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
  }

  // m / (sqrt(v) + epsilon) for v >= 0, epsilon > 0, within 2.8 ULP. The root keeps the divider busy, so the quotient
  // is made beside it: 11 bits and a step of third order. An infinite divisor makes rest NaN, max makes it -1.
  EVENFLOW_INLINE friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) {
    const Vec divisor = sqrt(v) + epsilon;
    const Vec inverse(_mm256_rcp_ps(divisor.r));
    const Vec rest(_mm256_max_ps(_mm256_fnmadd_ps(divisor.r, inverse.r, _mm256_set1_ps(1.0f)), _mm256_set1_ps(-1.0f)));
    return m * fma(inverse, fma(rest, rest, rest), inverse);
  }
};

// ---- double

template <>
struct Mask<double> {
  __m256d bits;

  EVENFLOW_INLINE friend Mask operator&(Mask a, Mask b) { return {_mm256_and_pd(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator|(Mask a, Mask b) { return {_mm256_or_pd(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator!(Mask a) {
    return {_mm256_xor_pd(a.bits, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)))};
  }
};

template <>
struct Vec<double> {
  using scalar = double;
  using mask = Mask<double>;
  using words = Words;
  using native = __m256d;
  static constexpr int lanes = 4;
  static constexpr int registers = 16;

  native r;

  Vec() = default;  // uninitialised
  EVENFLOW_INLINE explicit Vec(native x) : r(x) {}
  EVENFLOW_INLINE explicit Vec(float x) : r(_mm256_set1_pd(x)) {}
  EVENFLOW_INLINE explicit Vec(double x) : r(_mm256_set1_pd(x)) {}
  EVENFLOW_INLINE explicit Vec(int x) : r(_mm256_set1_pd(x)) {}

  EVENFLOW_INLINE static Vec load(const double* from) { return Vec(_mm256_loadu_pd(from)); }
  EVENFLOW_INLINE static Vec load(const double* from, int n) {
    return Vec(_mm256_maskload_pd(from, _mm256_castpd_si256(first(n).bits)));
  }
  EVENFLOW_INLINE void store(double* to) const { _mm256_storeu_pd(to, r); }
  EVENFLOW_INLINE void store(double* to, int n) const {
    _mm256_maskstore_pd(to, _mm256_castpd_si256(first(n).bits), r);
  }

  EVENFLOW_INLINE static Vec from_integers(const std::int16_t* from) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return Vec(_mm256_cvtepi32_pd(_mm_cvtepi16_epi32(x)));
  }
  EVENFLOW_INLINE static Vec from_integers(const std::int32_t* from) {
    return Vec(_mm256_cvtepi32_pd(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
  EVENFLOW_INLINE static mask below(const std::int16_t* from, std::int16_t limit) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return {_mm256_castsi256_pd(_mm256_cvtepi16_epi64(_mm_cmplt_epi16(x, _mm_set1_epi16(limit))))};
  }

  EVENFLOW_INLINE static mask first(int n) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return {_mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane))};
  }

  EVENFLOW_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(_mm256_add_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(_mm256_sub_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(_mm256_mul_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(_mm256_div_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a) { return Vec(_mm256_xor_pd(a.r, _mm256_set1_pd(-0.0))); }
  EVENFLOW_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  EVENFLOW_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  EVENFLOW_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  EVENFLOW_INLINE friend mask operator<(Vec a, Vec b) { return {_mm256_cmp_pd(a.r, b.r, _CMP_LT_OQ)}; }
  EVENFLOW_INLINE friend mask operator<=(Vec a, Vec b) { return {_mm256_cmp_pd(a.r, b.r, _CMP_LE_OQ)}; }
  EVENFLOW_INLINE friend mask operator>(Vec a, Vec b) { return {_mm256_cmp_pd(a.r, b.r, _CMP_GT_OQ)}; }
  EVENFLOW_INLINE friend mask operator>=(Vec a, Vec b) { return {_mm256_cmp_pd(a.r, b.r, _CMP_GE_OQ)}; }
  EVENFLOW_INLINE friend mask operator==(Vec a, Vec b) { return {_mm256_cmp_pd(a.r, b.r, _CMP_EQ_OQ)}; }
  EVENFLOW_INLINE friend Vec select(mask m, Vec yes, Vec no) { return Vec(_mm256_blendv_pd(no.r, yes.r, m.bits)); }
  EVENFLOW_INLINE friend mask is_nan(Vec a) { return {_mm256_cmp_pd(a.r, a.r, _CMP_UNORD_Q)}; }

  EVENFLOW_INLINE friend Vec fma(Vec a, Vec b, Vec c) { return Vec(_mm256_fmadd_pd(a.r, b.r, c.r)); }
  EVENFLOW_INLINE friend Vec product_rest(Vec a, Vec b, Vec product) {
    return Vec(_mm256_fmsub_pd(a.r, b.r, product.r));
  }

  EVENFLOW_INLINE friend Vec max(Vec a, Vec b) { return select(is_nan(a), a, Vec(_mm256_max_pd(a.r, b.r))); }
  EVENFLOW_INLINE friend Vec min(Vec a, Vec b) { return select(is_nan(a), a, Vec(_mm256_min_pd(a.r, b.r))); }
  EVENFLOW_INLINE friend Vec at_least(Vec x, Vec bound) { return Vec(_mm256_max_pd(bound.r, x.r)); }
  EVENFLOW_INLINE friend Vec at_most(Vec x, Vec bound) { return Vec(_mm256_min_pd(bound.r, x.r)); }

  EVENFLOW_INLINE friend Vec abs(Vec a) { return Vec(_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.r)); }
  EVENFLOW_INLINE friend Vec sqrt(Vec a) { return Vec(_mm256_sqrt_pd(a.r)); }
  EVENFLOW_INLINE friend Vec round_even(Vec a) {
    return Vec(_mm256_round_pd(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  EVENFLOW_INLINE friend Vec copysign(Vec magnitude, Vec sign) {
    const __m256d from_sign = _mm256_set1_pd(-0.0);
    return Vec(_mm256_or_pd(_mm256_and_pd(from_sign, sign.r), _mm256_andnot_pd(from_sign, magnitude.r)));
  }

  EVENFLOW_INLINE friend Vec power_of_two(Vec n) {
    const Vec biased = n + Vec(Format<double>::round_shift + Format<double>::bias);
    return Vec(_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(biased.r), 52)));
  }
  EVENFLOW_INLINE friend Vec scale_by_power(Vec x, Vec n) {
    const Vec shift(Format<double>::round_shift);
    const Vec half = fma(n, Vec(0.5), shift) - shift;
    return (x * power_of_two(half)) * power_of_two(n - half);
  }
  EVENFLOW_INLINE friend Vec split_exponent(Vec x, Vec& mantissa) {
    const mask subnormal = x < Vec(Format<double>::smallest_normal);
    const __m256i bits = _mm256_castpd_si256(select(subnormal, x * Vec(Format<double>::subnormal_scale), x).r);
    const __m256i biased = _mm256_srli_epi64(_mm256_add_epi64(bits, _mm256_set1_epi64x(std::int64_t{1} << 51)), 52);
    const __m256i exponent = _mm256_sub_epi64(biased, _mm256_set1_epi64x(1023));
    const Vec normalized(_mm256_castsi256_pd(_mm256_sub_epi64(bits, _mm256_slli_epi64(exponent, 52))));
    mantissa = select(x >= Vec(0.0), normalized, Vec(Format<double>::nan));
    // AVX2 converts no 64-bit integers: put them in the mantissa of 2^52.
    const Vec shift(Format<double>::integral_from);
    const Vec shifted(_mm256_or_pd(_mm256_castsi256_pd(biased), shift.r));
    const Vec result = (shifted - shift) - select(subnormal, Vec(1023.0 + 53.0), Vec(1023.0));
    const Vec infinity(Format<double>::infinity);
    return select(x == Vec(0.0), -infinity, select(x == infinity, infinity, result));
  }

  EVENFLOW_INLINE friend double sum(Vec x) {
    const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(x.r), _mm256_extractf128_pd(x.r, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
  }
  EVENFLOW_INLINE friend double maximum(Vec x) {
    x = max(x, Vec(_mm256_permute2f128_pd(x.r, x.r, 0x01)));
    x = max(x, Vec(_mm256_permute_pd(x.r, 0x5)));
    return _mm256_cvtsd_f64(x.r);
  }

  EVENFLOW_INLINE static void transpose(const double* from, std::ptrdiff_t from_stride, double* to,
                                        std::ptrdiff_t to_stride) {
    __m256d a[4], b[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) a[i] = _mm256_loadu_pd(from + i * from_stride);
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
      b[i] = _mm256_unpacklo_pd(a[i], a[i + 1]);
      b[i + 1] = _mm256_unpackhi_pd(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      _mm256_storeu_pd(to + i * to_stride, _mm256_permute2f128_pd(b[i], b[i + 2], 0x20));
      _mm256_storeu_pd(to + (i + 2) * to_stride, _mm256_permute2f128_pd(b[i], b[i + 2], 0x31));
    }
  }

  EVENFLOW_INLINE friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) { return m / (sqrt(v) + epsilon); }
};

}  // namespace evenflow::avx2
