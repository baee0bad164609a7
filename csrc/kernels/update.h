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
    EVENFLOW_INLINE explicit Clipper(Clip clip) : scale(clip.scale), limit(clip.limit) {}
    EVENFLOW_INLINE V operator()(V g) const { return at_least(at_most(g * scale, limit), -limit); }
  };

  // What stands around a rule: what it does to the gradient and to p before it, and to p after it, at element i.
  struct Bare {
    EVENFLOW_INLINE V gradient(V g, V) const { return g; }
    EVENFLOW_INLINE V before(V p) const { return p; }
    template <class Load, class Store>
    EVENFLOW_INLINE V after(V p, Load, Store, std::ptrdiff_t) const {
      return p;
    }
  };
  struct Clipped : Bare {
    Clipper clip;
    EVENFLOW_INLINE explicit Clipped(Clip c) : clip(c) {}
    EVENFLOW_INLINE V gradient(V g, V) const { return clip(g); }
  };
  // p <- p - p * rate
  struct Decayed : Clipped {
    V rate;
    EVENFLOW_INLINE Decayed(Clip c, const Decay& decay) : Clipped(c), rate(-decay.rate) {}
    EVENFLOW_INLINE V before(V p) const { return fma(rate, p, p); }
  };
  struct Averaging {
    V moves;
    Average<T> average;
    EVENFLOW_INLINE explicit Averaging(const Average<T>& a) : moves(1 - a.keep), average(a) {}
    template <class Load, class Store>
    EVENFLOW_INLINE V after(V p, Load load, Store store, std::ptrdiff_t i) const {
      if (average.values == nullptr) return p;
      V value = p;
      if (average.keep != 0) {
        value = load(average.values + i);
        value = fma(moves, p - value, value);
      }
      store(value, average.values + i);
      return average.overwrites ? value : p;
    }
  };
  struct All : Decayed {
    V coupled;
    Averaging averaging;
    EVENFLOW_INLINE All(Clip c, const Decay& decay, const Average<T>& a)
        : Decayed(c, decay), coupled(decay.coupled), averaging(a) {}
    EVENFLOW_INLINE V gradient(V g, V p) const { return fma(coupled, p, this->clip(g)); }
    template <class Load, class Store>
    EVENFLOW_INLINE V after(V p, Load load, Store store, std::ptrdiff_t i) const {
      return averaging.after(p, load, store, i);
    }
  };

  template <class Rule, class Load, class Store, class Around, std::size_t... s>
  EVENFLOW_INLINE static void apply(const Rule& rule, Load load, Store store, const Around& around, std::ptrdiff_t i,
                                    T* p, const T* g, [[maybe_unused]] T* const* slots, std::index_sequence<s...>) {
    const V old = load(p + i);
    V value = around.before(old);
    V state[Rule::slots + 1] = {load(slots[s] + i)...};
    rule(value, around.gradient(load(g + i), old), state[s]...);
    (store(state[s], slots[s] + i), ...);
    store(around.after(value, load, store, i), p + i);
  }

  // f(load, store, i) for every vector of n elements; the last may be a part of one.
  template <class F>
  EVENFLOW_INLINE static void each_vector(std::ptrdiff_t n, F f) {
    std::ptrdiff_t i = 0;
    for (; i + V::lanes <= n; i += V::lanes)
      f([](const T* from) { return V::load(from); }, [](V x, T* to) { x.store(to); }, i);
    if (i == n) return;
    const int rest = static_cast<int>(n - i);
    f([=](const T* from) { return V::load(from, rest); }, [=](V x, T* to) { x.store(to, rest); }, i);
  }

  template <class Rule, class Around>
  EVENFLOW_INLINE static void pass(const Rule& rule, const Around& around, T* p, const T* g, T* const* slots,
                                   std::ptrdiff_t n) {
    constexpr std::make_index_sequence<Rule::slots> each{};
    T* own[Rule::slots + 1] = {};
    for (int s = 0; s < Rule::slots; ++s) own[s] = slots[s];
    each_vector(n,
                [&](auto load, auto store, std::ptrdiff_t i) { apply(rule, load, store, around, i, p, g, own, each); });
  }

  template <class Rule>
  static void update(const Rule& rule, Clip clip, const Decay& decay, T* p, const T* g, T* const* slots,
                     std::ptrdiff_t n, const Average<T>& average) {
    if (decay.coupled != 0 || average.values != nullptr)
      pass(rule, All(clip, decay, average), p, g, slots, n);
    else if (decay.rate != 0)
      pass(rule, Decayed(clip, decay), p, g, slots, n);
    else if (clip.active())
      pass(rule, Clipped(clip), p, g, slots, n);
    else
      pass(rule, Bare(), p, g, slots, n);
  }

  static void follow(T* p, std::ptrdiff_t n, const Average<T>& average) {
    const Averaging averaging(average);
    each_vector(n, [&](auto load, auto store, std::ptrdiff_t i) {
      store(averaging.after(load(p + i), load, store, i), p + i);
    });
  }

  static void accumulate(T* g, T* sum, std::ptrdiff_t n, double share) {
    each_vector(n, [&](auto load, auto store, std::ptrdiff_t i) {
      const V total = load(sum + i) + load(g + i);
      if (share != 0) store(total * V(share), g + i);
      store(share != 0 ? V(0) : total, sum + i);
    });
  }

  // The sum of the squares of value(load, i). In double, whatever the element type: a norm of millions of gradients
  // must not drift.
  template <class Value>
  EVENFLOW_INLINE static double sum_squares(std::ptrdiff_t n, Value value) {
    double total = 0;
    constexpr std::ptrdiff_t block = 64 * V::lanes;
    for (std::ptrdiff_t first = 0; first < n; first += block) {
      const std::ptrdiff_t last = smaller(n, first + block);
      V sums[4] = {V(0), V(0), V(0), V(0)};
      std::ptrdiff_t i = first;
      for (; i + 4 * V::lanes <= last; i += 4 * V::lanes)
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          const V x = value([](const T* from) { return V::load(from); }, i + c * V::lanes);
          sums[c] = fma(x, x, sums[c]);
        }
      for (; i < last; i += V::lanes) {
        const int rest = static_cast<int>(smaller<std::ptrdiff_t>(V::lanes, last - i));
        const V x = value([=](const T* from) { return V::load(from, rest); }, i);
        sums[0] = fma(x, x, sums[0]);
      }
      total += static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
    }
    return total;
  }
  static double square_sum(const T* g, std::ptrdiff_t n) {
    return sum_squares(n, [=](auto load, std::ptrdiff_t i) { return load(g + i); });
  }
  static double square_distance(const T* a, const T* b, std::ptrdiff_t n) {
    return sum_squares(n, [=](auto load, std::ptrdiff_t i) { return load(a + i) - load(b + i); });
  }

  static void clip(T* g, std::ptrdiff_t n, Clip clip) {
    const Clipper clipper(clip);
    each_vector(n, [&](auto load, auto store, std::ptrdiff_t i) { store(clipper(load(g + i)), g + i); });
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
