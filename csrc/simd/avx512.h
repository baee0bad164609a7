// The vector vocabulary on AVX-512 (F, BW, VL, DQ): 16 floats or 8 doubles.
// avx512.h, avx2.h and baseline.h hold the same words in the same order; functions are friends, found by argument.
#pragma once

#if defined(__GNUC__) && \
    !defined(__clang__)  // gcc bug 105593: its header initialises undefined vectors with themselves
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include <cstddef>

#include "math/vocabulary.h"

namespace evenflow::avx512 {

template <class T>
struct Vec;
template <class T>
struct Mask;

// 64-bit numbers, each with two words.
struct Words {
  static constexpr int lanes = 8;
  __m512i r;

  EVENFLOW_INLINE explicit Words(__m512i x) : r(x) {}
  EVENFLOW_INLINE explicit Words(std::uint64_t x) : r(_mm512_set1_epi64(static_cast<std::int64_t>(x))) {}

  EVENFLOW_INLINE static Words load(const std::uint64_t* from) { return Words(_mm512_loadu_si512(from)); }
  EVENFLOW_INLINE friend Words operator+(Words a, Words b) { return Words(_mm512_add_epi64(a.r, b.r)); }
  EVENFLOW_INLINE friend Words operator^(Words a, Words b) { return Words(_mm512_xor_si512(a.r, b.r)); }
  // The product of the lower words; the upper word.
  EVENFLOW_INLINE friend Words multiply_words(Words a, Words b) { return Words(_mm512_mul_epu32(a.r, b.r)); }
  EVENFLOW_INLINE friend Words upper_word(Words a) { return Words(_mm512_srli_epi64(a.r, 32)); }
  // The lower words of a, b, c and d side by side, lane after lane: even lanes first, then odd ones.
  EVENFLOW_INLINE static void store(Words a, Words b, Words c, Words d, std::uint32_t* to) {
    const __m512i ab = _mm512_mask_shuffle_epi32(a.r, 0xAAAA, b.r, _MM_PERM_CCAA);
    const __m512i cd = _mm512_mask_shuffle_epi32(c.r, 0xAAAA, d.r, _MM_PERM_CCAA);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi64(ab, cd));
    _mm512_storeu_si512(to + 2 * lanes, _mm512_unpackhi_epi64(ab, cd));
  }
};

// ---- float

template <>
struct Mask<float> {
  __mmask16 bits;

  EVENFLOW_INLINE friend Mask operator&(Mask a, Mask b) { return {_kand_mask16(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator|(Mask a, Mask b) { return {_kor_mask16(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator!(Mask a) { return {_knot_mask16(a.bits)}; }
};

template <>
struct Vec<float> {
  using scalar = float;
  using mask = Mask<float>;
  using words = Words;
  using native = __m512;
  static constexpr int lanes = 16;
  static constexpr int registers = 32;

  native r;

  Vec() = default;  // uninitialised
  EVENFLOW_INLINE explicit Vec(native x) : r(x) {}
  EVENFLOW_INLINE explicit Vec(float x) : r(_mm512_set1_ps(x)) {}
  EVENFLOW_INLINE explicit Vec(double x) : r(_mm512_set1_ps(static_cast<float>(x))) {}
  EVENFLOW_INLINE explicit Vec(int x) : r(_mm512_set1_ps(static_cast<float>(x))) {}

  // Memory need not be aligned. With n, 0 <= n <= lanes: the first n lanes, the rest 0; nothing past n is touched.
  EVENFLOW_INLINE static Vec load(const float* from) { return Vec(_mm512_loadu_ps(from)); }
  EVENFLOW_INLINE static Vec load(const float* from, int n) { return Vec(_mm512_maskz_loadu_ps(first(n).bits, from)); }
  EVENFLOW_INLINE void store(float* to) const { _mm512_storeu_ps(to, r); }
  EVENFLOW_INLINE void store(float* to, int n) const { _mm512_mask_storeu_ps(to, first(n).bits, r); }

  // 16-bit and 32-bit integers as numbers, and where 16-bit ones are below a limit.
  EVENFLOW_INLINE static Vec from_integers(const std::int16_t* from) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return Vec(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(x)));
  }
  EVENFLOW_INLINE static Vec from_integers(const std::int32_t* from) {
    return Vec(_mm512_cvtepi32_ps(_mm512_loadu_si512(from)));
  }
  EVENFLOW_INLINE static mask below(const std::int16_t* from, std::int16_t limit) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return {_mm256_cmplt_epi16_mask(x, _mm256_set1_epi16(limit))};
  }

  // True in the first n lanes, 0 <= n <= lanes.
  EVENFLOW_INLINE static mask first(int n) { return {static_cast<__mmask16>((1u << n) - 1u)}; }

  EVENFLOW_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(_mm512_add_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(_mm512_sub_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(_mm512_mul_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(_mm512_div_ps(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a) { return Vec(_mm512_xor_ps(a.r, _mm512_set1_ps(-0.0f))); }
  EVENFLOW_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  EVENFLOW_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  EVENFLOW_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  EVENFLOW_INLINE friend mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ)}; }
  EVENFLOW_INLINE friend mask operator<=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LE_OQ)}; }
  EVENFLOW_INLINE friend mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_GT_OQ)}; }
  EVENFLOW_INLINE friend mask operator>=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_GE_OQ)}; }
  EVENFLOW_INLINE friend mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_EQ_OQ)}; }
  EVENFLOW_INLINE friend Vec select(mask m, Vec yes, Vec no) { return Vec(_mm512_mask_mov_ps(no.r, m.bits, yes.r)); }
  EVENFLOW_INLINE friend mask is_nan(Vec a) { return {_mm512_cmp_ps_mask(a.r, a.r, _CMP_UNORD_Q)}; }

  // a * b + c
  EVENFLOW_INLINE friend Vec fma(Vec a, Vec b, Vec c) { return Vec(_mm512_fmadd_ps(a.r, b.r, c.r)); }
  // a * b - product, what rounding took from product = a * b.
  EVENFLOW_INLINE friend Vec product_rest(Vec a, Vec b, Vec product) {
    return Vec(_mm512_fmsub_ps(a.r, b.r, product.r));
  }

  // NaN if either argument is NaN, like numpy.maximum.
  EVENFLOW_INLINE friend Vec max(Vec a, Vec b) {
    return Vec(_mm512_mask_mov_ps(_mm512_max_ps(a.r, b.r), is_nan(a).bits, a.r));
  }
  EVENFLOW_INLINE friend Vec min(Vec a, Vec b) {
    return Vec(_mm512_mask_mov_ps(_mm512_min_ps(a.r, b.r), is_nan(a).bits, a.r));
  }
  // max and min with a bound that is not NaN, in one instruction; NaN in x passes through.
  EVENFLOW_INLINE friend Vec at_least(Vec x, Vec bound) { return Vec(_mm512_max_ps(bound.r, x.r)); }
  EVENFLOW_INLINE friend Vec at_most(Vec x, Vec bound) { return Vec(_mm512_min_ps(bound.r, x.r)); }

  EVENFLOW_INLINE friend Vec abs(Vec a) { return Vec(_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.r)); }
  EVENFLOW_INLINE friend Vec sqrt(Vec a) { return Vec(_mm512_sqrt_ps(a.r)); }
  EVENFLOW_INLINE friend Vec round_even(Vec a) {
    return Vec(_mm512_roundscale_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  EVENFLOW_INLINE friend Vec copysign(Vec magnitude, Vec sign) {
    const __m512i from_sign = _mm512_set1_epi32(INT32_MIN);  // and 0xCA: sign where set, else magnitude
    return Vec(_mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(from_sign, _mm512_castps_si512(sign.r), _mm512_castps_si512(magnitude.r), 0xCA)));
  }

  // 2^n for integral n, |n| < bias.
  EVENFLOW_INLINE friend Vec power_of_two(Vec n) {
    const Vec biased = n + Vec(Format<float>::round_shift + static_cast<float>(Format<float>::bias));
    return Vec(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(biased.r), 23)));
  }
  // x * 2^n for integral n, rounded once.
  EVENFLOW_INLINE friend Vec scale_by_power(Vec x, Vec n) { return Vec(_mm512_scalef_ps(x.r, n.r)); }
  // x = mantissa * 2^result, mantissa in [0.75, 1.5), subnormal x too. So that log is right without a special case:
  // 0 gives (-inf, 1), inf (inf, 1), NaN and negative x a NaN mantissa.
  EVENFLOW_INLINE friend Vec split_exponent(Vec x, Vec& mantissa) {
    mantissa.r = _mm512_getmant_ps(x.r, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
    return Vec(_mm512_sub_ps(_mm512_getexp_ps(x.r), _mm512_getexp_ps(mantissa.r)));
  }

  // Halves are added, then halves of the sum, down to one lane.
  EVENFLOW_INLINE friend float sum(Vec x) {
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x.r), _mm512_extractf32x8_ps(x.r, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  // NaN if any lane is NaN.
  EVENFLOW_INLINE friend float maximum(Vec x) {
    x = max(x, Vec(_mm512_shuffle_f32x4(x.r, x.r, _MM_SHUFFLE(1, 0, 3, 2))));
    x = max(x, Vec(_mm512_shuffle_f32x4(x.r, x.r, _MM_SHUFFLE(2, 3, 0, 1))));
    x = max(x, Vec(_mm512_permute_ps(x.r, _MM_SHUFFLE(1, 0, 3, 2))));
    x = max(x, Vec(_mm512_permute_ps(x.r, _MM_SHUFFLE(2, 3, 0, 1))));
    return _mm512_cvtss_f32(x.r);
  }

  // to[j][i] = from[i][j], a block of lanes x lanes; strides in elements.
  EVENFLOW_INLINE static void transpose(const float* from, std::ptrdiff_t from_stride, float* to,
                                        std::ptrdiff_t to_stride) {
    __m512 a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(from + i * from_stride);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      a[i] = _mm512_shuffle_ps(b[i], b[i + 2], _MM_SHUFFLE(1, 0, 1, 0));
      a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], _MM_SHUFFLE(3, 2, 3, 2));
      a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], _MM_SHUFFLE(1, 0, 1, 0));
      a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], _MM_SHUFFLE(2, 0, 2, 0));
      b[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], _MM_SHUFFLE(3, 1, 3, 1));
      b[i + 8] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], _MM_SHUFFLE(2, 0, 2, 0));
      b[i + 12] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], _MM_SHUFFLE(3, 1, 3, 1));
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      _mm512_storeu_ps(to + i * to_stride, _mm512_shuffle_f32x4(b[i], b[i + 8], _MM_SHUFFLE(2, 0, 2, 0)));
      _mm512_storeu_ps(to + (i + 8) * to_stride, _mm512_shuffle_f32x4(b[i], b[i + 8], _MM_SHUFFLE(3, 1, 3, 1)));
    }
  }

  // m / (sqrt(v) + epsilon) for v >= 0 and a divisor that is not 0, within 2.8 ULP. The root keeps the divider busy, so
  // the quotient is made beside it: 14 bits and a Newton step. An infinite divisor makes rest NaN, max makes it -1.
  EVENFLOW_INLINE friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) {
    const Vec divisor = sqrt(v) + epsilon;
    const Vec inverse(_mm512_rcp14_ps(divisor.r));
    const Vec rest(_mm512_max_ps(_mm512_fnmadd_ps(divisor.r, inverse.r, _mm512_set1_ps(1.0f)), _mm512_set1_ps(-1.0f)));
    return m * fma(inverse, rest, inverse);
  }
};

// ---- double

template <>
struct Mask<double> {
  __mmask8 bits;

  EVENFLOW_INLINE friend Mask operator&(Mask a, Mask b) { return {_kand_mask8(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator|(Mask a, Mask b) { return {_kor_mask8(a.bits, b.bits)}; }
  EVENFLOW_INLINE friend Mask operator!(Mask a) { return {_knot_mask8(a.bits)}; }
};

template <>
struct Vec<double> {
  using scalar = double;
  using mask = Mask<double>;
  using words = Words;
  using native = __m512d;
  static constexpr int lanes = 8;
  static constexpr int registers = 32;

  native r;

  Vec() = default;  // uninitialised
  EVENFLOW_INLINE explicit Vec(native x) : r(x) {}
  EVENFLOW_INLINE explicit Vec(float x) : r(_mm512_set1_pd(x)) {}
  EVENFLOW_INLINE explicit Vec(double x) : r(_mm512_set1_pd(x)) {}
  EVENFLOW_INLINE explicit Vec(int x) : r(_mm512_set1_pd(x)) {}

  EVENFLOW_INLINE static Vec load(const double* from) { return Vec(_mm512_loadu_pd(from)); }
  EVENFLOW_INLINE static Vec load(const double* from, int n) { return Vec(_mm512_maskz_loadu_pd(first(n).bits, from)); }
  EVENFLOW_INLINE void store(double* to) const { _mm512_storeu_pd(to, r); }
  EVENFLOW_INLINE void store(double* to, int n) const { _mm512_mask_storeu_pd(to, first(n).bits, r); }

  EVENFLOW_INLINE static Vec from_integers(const std::int16_t* from) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return Vec(_mm512_cvtepi32_pd(_mm256_cvtepi16_epi32(x)));
  }
  EVENFLOW_INLINE static Vec from_integers(const std::int32_t* from) {
    return Vec(_mm512_cvtepi32_pd(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
  }
  EVENFLOW_INLINE static mask below(const std::int16_t* from, std::int16_t limit) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return {_mm_cmplt_epi16_mask(x, _mm_set1_epi16(limit))};
  }

  EVENFLOW_INLINE static mask first(int n) { return {static_cast<__mmask8>((1u << n) - 1u)}; }

  EVENFLOW_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(_mm512_add_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(_mm512_sub_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(_mm512_mul_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(_mm512_div_pd(a.r, b.r)); }
  EVENFLOW_INLINE friend Vec operator-(Vec a) { return Vec(_mm512_xor_pd(a.r, _mm512_set1_pd(-0.0))); }
  EVENFLOW_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  EVENFLOW_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  EVENFLOW_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  EVENFLOW_INLINE friend mask operator<(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.r, b.r, _CMP_LT_OQ)}; }
  EVENFLOW_INLINE friend mask operator<=(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.r, b.r, _CMP_LE_OQ)}; }
  EVENFLOW_INLINE friend mask operator>(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.r, b.r, _CMP_GT_OQ)}; }
  EVENFLOW_INLINE friend mask operator>=(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.r, b.r, _CMP_GE_OQ)}; }
  EVENFLOW_INLINE friend mask operator==(Vec a, Vec b) { return {_mm512_cmp_pd_mask(a.r, b.r, _CMP_EQ_OQ)}; }
  EVENFLOW_INLINE friend Vec select(mask m, Vec yes, Vec no) { return Vec(_mm512_mask_mov_pd(no.r, m.bits, yes.r)); }
  EVENFLOW_INLINE friend mask is_nan(Vec a) { return {_mm512_cmp_pd_mask(a.r, a.r, _CMP_UNORD_Q)}; }

  EVENFLOW_INLINE friend Vec fma(Vec a, Vec b, Vec c) { return Vec(_mm512_fmadd_pd(a.r, b.r, c.r)); }
  EVENFLOW_INLINE friend Vec product_rest(Vec a, Vec b, Vec product) {
    return Vec(_mm512_fmsub_pd(a.r, b.r, product.r));
  }

  EVENFLOW_INLINE friend Vec max(Vec a, Vec b) {
    return Vec(_mm512_mask_mov_pd(_mm512_max_pd(a.r, b.r), is_nan(a).bits, a.r));
  }
  EVENFLOW_INLINE friend Vec min(Vec a, Vec b) {
    return Vec(_mm512_mask_mov_pd(_mm512_min_pd(a.r, b.r), is_nan(a).bits, a.r));
  }
  EVENFLOW_INLINE friend Vec at_least(Vec x, Vec bound) { return Vec(_mm512_max_pd(bound.r, x.r)); }
  EVENFLOW_INLINE friend Vec at_most(Vec x, Vec bound) { return Vec(_mm512_min_pd(bound.r, x.r)); }

  EVENFLOW_INLINE friend Vec abs(Vec a) { return Vec(_mm512_andnot_pd(_mm512_set1_pd(-0.0), a.r)); }
  EVENFLOW_INLINE friend Vec sqrt(Vec a) { return Vec(_mm512_sqrt_pd(a.r)); }
  EVENFLOW_INLINE friend Vec round_even(Vec a) {
    return Vec(_mm512_roundscale_pd(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  EVENFLOW_INLINE friend Vec copysign(Vec magnitude, Vec sign) {
    const __m512i from_sign = _mm512_set1_epi64(INT64_MIN);
    return Vec(_mm512_castsi512_pd(
        _mm512_ternarylogic_epi64(from_sign, _mm512_castpd_si512(sign.r), _mm512_castpd_si512(magnitude.r), 0xCA)));
  }

  EVENFLOW_INLINE friend Vec power_of_two(Vec n) {
    const Vec biased = n + Vec(Format<double>::round_shift + Format<double>::bias);
    return Vec(_mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(biased.r), 52)));
  }
  EVENFLOW_INLINE friend Vec scale_by_power(Vec x, Vec n) { return Vec(_mm512_scalef_pd(x.r, n.r)); }
  EVENFLOW_INLINE friend Vec split_exponent(Vec x, Vec& mantissa) {
    mantissa.r = _mm512_getmant_pd(x.r, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
    return Vec(_mm512_sub_pd(_mm512_getexp_pd(x.r), _mm512_getexp_pd(mantissa.r)));
  }

  EVENFLOW_INLINE friend double sum(Vec x) {
    const __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(x.r), _mm512_extractf64x4_pd(x.r, 1));
    const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
  }
  EVENFLOW_INLINE friend double maximum(Vec x) {
    x = max(x, Vec(_mm512_shuffle_f64x2(x.r, x.r, _MM_SHUFFLE(1, 0, 3, 2))));
    x = max(x, Vec(_mm512_shuffle_f64x2(x.r, x.r, _MM_SHUFFLE(2, 3, 0, 1))));
    x = max(x, Vec(_mm512_permute_pd(x.r, 0x55)));
    return _mm512_cvtsd_f64(x.r);
  }

  EVENFLOW_INLINE static void transpose(const double* from, std::ptrdiff_t from_stride, double* to,
                                        std::ptrdiff_t to_stride) {
    __m512d a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) a[i] = _mm512_loadu_pd(from + i * from_stride);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      b[i] = _mm512_unpacklo_pd(a[i], a[i + 1]);
      b[i + 1] = _mm512_unpackhi_pd(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      a[i] = _mm512_shuffle_f64x2(b[i], b[i + 2], _MM_SHUFFLE(2, 0, 2, 0));
      a[i + 2] = _mm512_shuffle_f64x2(b[i], b[i + 2], _MM_SHUFFLE(3, 1, 3, 1));
      a[i + 4] = _mm512_shuffle_f64x2(b[i + 4], b[i + 6], _MM_SHUFFLE(2, 0, 2, 0));
      a[i + 6] = _mm512_shuffle_f64x2(b[i + 4], b[i + 6], _MM_SHUFFLE(3, 1, 3, 1));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm512_storeu_pd(to + i * to_stride, _mm512_shuffle_f64x2(a[i], a[i + 4], _MM_SHUFFLE(2, 0, 2, 0)));
      _mm512_storeu_pd(to + (i + 4) * to_stride, _mm512_shuffle_f64x2(a[i], a[i + 4], _MM_SHUFFLE(3, 1, 3, 1)));
    }
  }

  EVENFLOW_INLINE friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) { return m / (sqrt(v) + epsilon); }
};

}  // namespace evenflow::avx512
