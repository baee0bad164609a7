// Formulas by the numbers that a plan knows them under: activations and random layers.
#pragma once

#include "cuda/arguments.h"
#include "cuda/vector.cuh"
#include "math/activations.h"
#include "math/learned.h"
#include "math/noise.h"
#include "math/normalization.h"

namespace evenflow::cuda {

// f(formula) with the one of that number.
template <class F, class... Types>
__device__ __forceinline__ void pick(List<Types...>, int number, const double* parameters, F f) {
  int i = 0;
  (void)((number == i++ ? (f(Types(parameters)), true) : false) || ...);
}
template <class F, class... Types>
__device__ __forceinline__ void pick_learned(List<Types...>, int number, F f) {
  int i = 0;
  (void)((number == i++ ? (f(static_cast<Types*>(nullptr)), true) : false) || ...);
}

// Not inlined: the list of all activations is long, and stands here once.
template <class T>
__device__ __noinline__ T activation_value(int number, const double* parameters, T x) {
  T y = x;
  pick(Activations{}, number, parameters, [&](auto f) { y = f.value(x); });
  return y;
}
template <class T>
__device__ __noinline__ T activation_slope(int number, const double* parameters, T x, T y) {
  T slope = 1;
  pick(Activations{}, number, parameters, [&](auto f) { slope = f.slope(x, y); });
  return slope;
}
template <class T>
__device__ __noinline__ T learned_value(int number, T parameter, T x) {
  T y = x;
  pick_learned(LearnedActivations{}, number - Activations::size, [&](auto* f) {
    using Curve = typename std::remove_pointer_t<decltype(f)>::template Curve<T>;
    y = Curve(parameter).value(x);
  });
  return y;
}
template <class T>
__device__ __noinline__ Slopes<T> learned_slopes(int number, T parameter, T x) {
  Slopes<T> slopes{T(1), T(0)};
  pick_learned(LearnedActivations{}, number - Activations::size, [&](auto* f) {
    using Curve = typename std::remove_pointer_t<decltype(f)>::template Curve<T>;
    slopes = Curve(parameter).slopes(x);
  });
  return slopes;
}

// f(layer, random number) with the random layer and the number of a row's feature: those of every other executor.
template <class T, class F, class... Types>
__device__ __forceinline__ void draw(List<Types...>, const Segment<T>& s, std::uint64_t step, int row, int feature,
                                     F f) {
  using V = Vec<T, 1>;
  const auto use = [&](auto layer) {
    using Random = typename decltype(layer)::template Random<V>;
    constexpr int of_block = 128 / Random::bits;
    const Counter c =
        counter_of(step, s.number, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(feature / of_block));
    std::uint64_t words[4] = {c.block, c.row, c.step_low, c.step_high_and_layer};
    philox4x32(words, s.seed);
    const int place = feature % of_block;
    const auto word = static_cast<std::uint32_t>(words[place * Random::bits / 32]);
    if constexpr (Random::bits == 32) {
      const auto whole = static_cast<std::int32_t>(word);
      const T normal = normal_of_word(T(whole), T(word_tail(whole)));
      f(layer, Random{&normal});
    } else {
      const auto half = static_cast<std::int16_t>(static_cast<std::uint16_t>(word >> (16 * (place % 2))));
      f(layer, Random{&half});
    }
  };
  int i = 0;
  (void)((s.noise == i++ ? (use(Types(s.noise_settings)), true) : false) || ...);
}

template <class T>
__device__ __noinline__ T noise_value(const Segment<T>& s, std::uint64_t step, int row, int feature, T x) {
  T y = x;
  draw(Noises{}, s, step, row, feature, [&](auto layer, auto random) { y = layer.value(Vec<T, 1>(x), random).r; });
  return y;
}
template <class T>
__device__ __noinline__ T noise_gradient(const Segment<T>& s, std::uint64_t step, int row, int feature, T dy, T y) {
  T dx = dy;
  draw(Noises{}, s, step, row, feature, [&](auto layer, auto random) {
    if constexpr (!std::is_same_v<decltype(layer), GaussianNoise>)  // whose gradient is dy
      dx = layer.gradient(Vec<T, 1>(dy), Vec<T, 1>(y), random).r;
  });
  return dx;
}

}  // namespace evenflow::cuda
