// A vector whose lanes are threads: `width` neighbouring threads of a warp have an element each, in the words of
// simd/*.h, so that loops over rows (kernels/losses.h, kernels/metrics.h) run there as they stand. What is no vector is
// the same in all lanes, and so is every branch. Memory that lanes write is ordered by each load and store.
#pragma once

#include "math/vocabulary.h"

namespace evenflow::cuda {

template <class T, int width>
struct Vec {
  using scalar = T;
  using mask = bool;
  static constexpr int lanes = width;
  static_assert(width == 1 || width == 32, "a thread by itself, or a warp");

  T r;

  Vec() = default;  // uninitialised
  HD explicit Vec(float x) : r(static_cast<T>(x)) {}
  HD explicit Vec(double x) : r(static_cast<T>(x)) {}
  HD explicit Vec(int x) : r(static_cast<T>(x)) {}

  HD static int lane() {
#if defined(__CUDA_ARCH__)
    return width == 1 ? 0 : static_cast<int>(threadIdx.x % width);
#else
    return 0;
#endif
  }
  HD static void meet() {
#if defined(__CUDA_ARCH__)
    if constexpr (width > 1) __syncwarp();
#endif
  }
  HD static T of_lane(T x, int distance) {  // that many lanes away, there and back
#if defined(__CUDA_ARCH__)
    return __shfl_xor_sync(0xffffffffu, x, distance);
#else
    return distance == 0 ? x : T(0);
#endif
  }

  HD static Vec load(const T* from) {
    meet();
    return Vec(from[lane()]);
  }
  HD static Vec load(const T* from, int n) {
    meet();
    return Vec(lane() < n ? from[lane()] : T(0));
  }
  HD void store(T* to) const {
    meet();
    to[lane()] = r;
    meet();
  }
  HD void store(T* to, int n) const {
    meet();
    if (lane() < n) to[lane()] = r;
    meet();
  }
  template <class Integer>
  HD static Vec from_integers(const Integer* from) {
    return Vec(static_cast<T>(from[lane()]));
  }
  HD static mask below(const std::int16_t* from, std::int16_t limit) { return from[lane()] < limit; }
  HD static mask first(int n) { return lane() < n; }

  HD friend Vec operator+(Vec a, Vec b) { return Vec(a.r + b.r); }
  HD friend Vec operator-(Vec a, Vec b) { return Vec(a.r - b.r); }
  HD friend Vec operator*(Vec a, Vec b) { return Vec(a.r * b.r); }
  HD friend Vec operator/(Vec a, Vec b) { return Vec(a.r / b.r); }
  HD friend Vec operator-(Vec a) { return Vec(-a.r); }
  HD Vec& operator+=(Vec b) { return *this = *this + b; }
  HD Vec& operator-=(Vec b) { return *this = *this - b; }
  HD Vec& operator*=(Vec b) { return *this = *this * b; }

  HD friend mask operator<(Vec a, Vec b) { return a.r < b.r; }
  HD friend mask operator<=(Vec a, Vec b) { return a.r <= b.r; }
  HD friend mask operator>(Vec a, Vec b) { return a.r > b.r; }
  HD friend mask operator>=(Vec a, Vec b) { return a.r >= b.r; }
  HD friend mask operator==(Vec a, Vec b) { return a.r == b.r; }
  HD friend Vec select(mask m, Vec yes, Vec no) { return m ? yes : no; }
  HD friend mask is_nan(Vec a) { return a.r != a.r; }

  HD friend Vec fma(Vec a, Vec b, Vec c) { return Vec(evenflow::fma(a.r, b.r, c.r)); }
  HD friend Vec product_rest(Vec a, Vec b, Vec product) { return Vec(evenflow::product_rest(a.r, b.r, product.r)); }
  HD friend Vec max(Vec a, Vec b) { return Vec(evenflow::max(a.r, b.r)); }
  HD friend Vec min(Vec a, Vec b) { return Vec(evenflow::min(a.r, b.r)); }
  HD friend Vec at_least(Vec x, Vec bound) { return Vec(evenflow::at_least(x.r, bound.r)); }
  HD friend Vec at_most(Vec x, Vec bound) { return Vec(evenflow::at_most(x.r, bound.r)); }
  HD friend Vec abs(Vec a) { return Vec(evenflow::abs(a.r)); }
  HD friend Vec sqrt(Vec a) { return Vec(evenflow::sqrt(a.r)); }
  HD friend Vec round_even(Vec a) { return Vec(evenflow::round_even(a.r)); }
  HD friend Vec copysign(Vec magnitude, Vec sign) { return Vec(evenflow::copysign(magnitude.r, sign.r)); }
  HD friend Vec power_of_two(Vec n) { return Vec(evenflow::power_of_two(n.r)); }
  HD friend Vec scale_by_power(Vec x, Vec n) { return Vec(evenflow::scale_by_power(x.r, n.r)); }
  HD friend Vec split_exponent(Vec x, Vec& mantissa) { return Vec(evenflow::split_exponent(x.r, mantissa.r)); }
  HD friend Vec ratio_to_root(Vec m, Vec v, Vec epsilon) { return Vec(evenflow::ratio_to_root(m.r, v.r, epsilon.r)); }

  // Each lane adds the same two numbers as its neighbour does, so that all have the same bits.
  HD friend T sum(Vec x) {
    for (int distance = width / 2; distance > 0; distance /= 2) x.r += of_lane(x.r, distance);
    return x.r;
  }
  HD friend T maximum(Vec x) {
    for (int distance = width / 2; distance > 0; distance /= 2) x.r = evenflow::max(x.r, of_lane(x.r, distance));
    return x.r;
  }
};

}  // namespace evenflow::cuda
