// Loops over flat memory: update rules, norms, clipping.
#pragma once

#include <utility>

#include "kernels/kernels.h"

namespace evenflow {

template <class V>
struct FlatKernels {
  using T = scalar_of<V>;

  struct Clipper {
    V scale, limit;
    explicit Clipper(Clip clip) : scale(clip.scale), limit(clip.limit) {}
    EVENFLOW_INLINE V operator()(V g) const { return at_least(at_most(g * scale, limit), -limit); }
  };

  // p <- p - p * rate
  struct Decay {
    V rate;
    explicit Decay(double r) : rate(-r) {}
    EVENFLOW_INLINE V operator()(V p) const { return fma(rate, p, p); }
  };
  struct Same {
    EVENFLOW_INLINE V operator()(V x) const { return x; }
  };

  template <class Rule, class Load, class Store, class Gradient, class Parameter, std::size_t... s>
  EVENFLOW_INLINE static void apply(const Rule& rule, Load load, Store store, Gradient gradient, Parameter parameter,
                                    std::ptrdiff_t i, T* p, const T* g, [[maybe_unused]] T* const* slots,
                                    std::index_sequence<s...>) {
    V value = parameter(load(p + i));
    V state[Rule::slots + 1] = {load(slots[s] + i)...};
    rule(value, gradient(load(g + i)), state[s]...);
    (store(state[s], slots[s] + i), ...);
    store(value, p + i);
  }

  template <class Rule, class Gradient, class Parameter>
  EVENFLOW_INLINE static void pass(const Rule& rule, Gradient gradient, Parameter parameter, T* p, const T* g,
                                   T* const* slots, std::ptrdiff_t n) {
    constexpr std::make_index_sequence<Rule::slots> each{};
    T* own[Rule::slots + 1] = {};
    for (int s = 0; s < Rule::slots; ++s) own[s] = slots[s];
    std::ptrdiff_t i = 0;
    for (; i + V::lanes <= n; i += V::lanes)
      apply(
          rule, [](const T* from) { return V::load(from); }, [](V x, T* to) { x.store(to); }, gradient, parameter, i, p,
          g, own, each);
    if (i == n) return;
    const int rest = static_cast<int>(n - i);
    apply(
        rule, [=](const T* from) { return V::load(from, rest); }, [=](V x, T* to) { x.store(to, rest); }, gradient,
        parameter, i, p, g, own, each);
  }

  template <class Rule>
  static void update(const Rule& rule, Clip clip, double decay, T* p, const T* g, T* const* slots, std::ptrdiff_t n) {
    if (decay != 0)
      pass(rule, Clipper(clip), Decay(decay), p, g, slots, n);
    else if (clip.active())
      pass(rule, Clipper(clip), Same(), p, g, slots, n);
    else
      pass(rule, Same(), Same(), p, g, slots, n);
  }

  // In double, whatever the element type: a norm of millions of gradients must not drift.
  static double square_sum(const T* g, std::ptrdiff_t n) {
    double total = 0;
    constexpr std::ptrdiff_t block = 64 * V::lanes;
    for (std::ptrdiff_t first = 0; first < n; first += block) {
      const std::ptrdiff_t last = smaller(n, first + block);
      V sums[4] = {V(0), V(0), V(0), V(0)};
      std::ptrdiff_t i = first;
      for (; i + 4 * V::lanes <= last; i += 4 * V::lanes)
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          const V x = V::load(g + i + c * V::lanes);
          sums[c] = fma(x, x, sums[c]);
        }
      for (; i < last; i += V::lanes) {
        const V x = V::load(g + i, static_cast<int>(smaller<std::ptrdiff_t>(V::lanes, last - i)));
        sums[0] = fma(x, x, sums[0]);
      }
      total += static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
    }
    return total;
  }

  static void clip(T* g, std::ptrdiff_t n, Clip clip) {
    const Clipper clipper(clip);
    std::ptrdiff_t i = 0;
    for (; i + V::lanes <= n; i += V::lanes) clipper(V::load(g + i)).store(g + i);
    const int rest = static_cast<int>(n - i);
    if (rest != 0) clipper(V::load(g + i, rest)).store(g + i, rest);
  }

  // Twelve chains of two, as the micro-kernels have them.
  static double multiply_add(std::ptrdiff_t repetitions, T* sink) {
    constexpr int chains = V::registers == 32 ? 24 : 12;
    V x[chains];
    const V a = V::load(sink), b = V::load(sink + V::lanes);
#pragma GCC unroll 24
    for (int c = 0; c < chains; ++c) x[c] = V(c);
    for (std::ptrdiff_t i = 0; i < repetitions; ++i)
#pragma GCC unroll 24
      for (int c = 0; c < chains; ++c) x[c] = fma(x[c], a, b);
    V total(0);
#pragma GCC unroll 24
    for (int c = 0; c < chains; ++c) total += x[c];
    total.store(sink + 2 * V::lanes);
    return 2.0 * chains * V::lanes * static_cast<double>(repetitions);
  }
};

}  // namespace evenflow
