// Row operations: softmax and its kin, and what losses (losses.h) and metrics (metrics.h) build on. One row at a time
// is gathered from its panels into contiguous scratch.
#pragma once

#include "kernels/kernels.h"
#include "math/losses.h"

namespace evenflow {

template <class V>
struct RowKernels {
  using T = scalar_of<V>;
  EVENFLOW_INLINE static constexpr Layout layout() { return {V::lanes}; }

  EVENFLOW_INLINE static std::ptrdiff_t place(int unit, std::ptrdiff_t stride, int row, int units) {
    const int panel = unit / layout().full();
    return panel * stride + static_cast<std::ptrdiff_t>(row) * layout().width(units, panel) + unit % layout().full();
  }
  // f(j, valid lanes) for each vector of a row of `units`
  template <class Body>
  EVENFLOW_INLINE static void each(int units, Body body) {
    for (int j = 0; j < units; j += V::lanes) body(j, smaller(V::lanes, units - j));
  }
  EVENFLOW_INLINE static void gather(T* to, const T* x, std::ptrdiff_t stride, int row, int units) {
    each(units, [&](int j, int) { V::load(x + place(j, stride, row, units)).store(to + j); });
  }
  EVENFLOW_INLINE static void scatter(T* x, const T* from, std::ptrdiff_t stride, int row, int units) {
    each(units, [&](int j, int) { V::load(from + j).store(x + place(j, stride, row, units)); });
  }
  static void spread(T* panels, std::ptrdiff_t stride, const T* from, int row, int features, int first, int end) {
    const int last = smaller(end * layout().full(), layout().padded(features));
    int j = first * layout().full();
    for (; j + V::lanes <= smaller(last, features); j += V::lanes)  // loads of a part are slower out of cache
      V::load(from + j).store(panels + place(j, stride, row, features));
    if (j < last) V::load(from + j, features - j).store(panels + place(j, stride, row, features));
  }
  static void collect(T* to, const T* panels, std::ptrdiff_t stride, int row, int features) {
    each(features, [&](int j, int valid) { V::load(panels + place(j, stride, row, features)).store(to + j, valid); });
  }
  // Sum over the units of term(j), where lanes past the last unit count nothing.
  template <class Term>
  EVENFLOW_INLINE static T total(int units, Term term) {
    V sums(0);
    each(units, [&](int j, int valid) { sums += select(V::first(valid), term(j), V(0)); });
    return sum(sums);
  }

  struct Exponentials {
    T highest, sum;
  };
  // Of z, its exponentials exp(z - max z), zero past the last unit, and their sum: visit(j, exponential).
  template <class Visit>
  EVENFLOW_INLINE static Exponentials each_exponential(const T* z, int units, Visit visit) {
    V top(-Format<T>::infinity);
    each(units,
         [&](int j, int valid) { top = max(top, select(V::first(valid), V::load(z + j), V(-Format<T>::infinity))); });
    const T highest = maximum(top);
    V sums(0);
    each(units, [&](int j, int valid) {
      const V e = select(V::first(valid), exp(V::load(z + j) - V(highest)), V(0));
      visit(j, e);
      sums += e;
    });
    return {highest, sum(sums)};
  }
  EVENFLOW_INLINE static Exponentials exponentials(T* p, const T* z, int units) {
    return each_exponential(z, units, [&](int j, V e) { e.store(p + j); });
  }
  EVENFLOW_INLINE static void divide(T* p, T by, int units) {
    each(units, [&](int j, int) { (V::load(p + j) / V(by)).store(p + j); });
  }

  // z <- z - log(sum(exp(z))), with p for scratch
  EVENFLOW_INLINE static void log_softmax(T* z, T* p, int units) {
    const Exponentials e = exponentials(p, z, units);
    const T log_sum = log(e.sum);
    each(units, [&](int j, int valid) {
      select(V::first(valid), V(0) - surprise(V::load(z + j), e.highest, log_sum), V(0)).store(z + j);
    });
  }

  // z <- max(z - t, 0), the nearest point whose entries are at least 0 and add up to 1: t is the mean of the entries
  // above it, less 1 / their number. From all entries on, those not above t leave, until none does or rounding brings
  // one back. Michelot 1986; Martins and Astudillo 2016.
  EVENFLOW_INLINE static void sparsemax(T* z, int units) {
    V top(-Format<T>::infinity);
    each(units,
         [&](int j, int valid) { top = max(top, select(V::first(valid), V::load(z + j), V(-Format<T>::infinity))); });
    const T highest = maximum(top);  // taken off first: entries that matter are then within [-1, 0]
    each(units, [&](int j, int) { (V::load(z + j) - V(highest)).store(z + j); });
    T t = -1, count = static_cast<T>(units + 1), before;
    do {
      before = count;
      count = total(units, [&](int j) { return select(V::load(z + j) > V(t), V(1), V(0)); });
      const T sum = total(units, [&](int j) {
        const V entry = V::load(z + j);
        return select(entry > V(t), entry, V(0));
      });
      t = (sum - 1) / count;
    } while (count < before);
    each(units,
         [&](int j, int valid) { select(V::first(valid), at_least(V::load(z + j) - V(t), V(0)), V(0)).store(z + j); });
  }

  // z becomes the output; p is scratch
  EVENFLOW_INLINE static void apply(Output output, T* z, T* p, int units) {
    if (output == Output::softmax) divide(z, exponentials(z, z, units).sum, units);
    if (output == Output::log_softmax) log_softmax(z, p, units);
    if (output == Output::sparsemax) sparsemax(z, units);
  }
  static void output_forward(Output output, T* y, const T* x, std::ptrdiff_t stride, int units, T* scratch, int first,
                             int last) {
    for (int row = first; row < last; ++row) {
      gather(scratch, x, stride, row, units);
      apply(output, scratch, scratch + layout().padded(units), units);
      scatter(y, scratch, stride, row, units);
    }
  }

  // d <- p * (d - sum(p * d))
  EVENFLOW_INLINE static void through_softmax(T* d, const T* p, int units) {
    const V mean(total(units, [&](int j) { return V::load(p + j) * V::load(d + j); }));
    each(units, [&](int j, int) { (V::load(p + j) * (V::load(d + j) - mean)).store(d + j); });
  }
  // d <- d - exp(y) * sum(d)
  EVENFLOW_INLINE static void through_log_softmax(T* d, const T* y, int units) {
    const V sums(total(units, [&](int j) { return V::load(d + j); }));
    each(units, [&](int j, int valid) {
      select(V::first(valid), fma(-exp(V::load(y + j)), sums, V::load(d + j)), V(0)).store(d + j);
    });
  }
  // d <- d - its mean where y > 0, 0 elsewhere
  EVENFLOW_INLINE static void through_sparsemax(T* d, const T* y, int units) {
    const auto within = [&](int j, V value) { return select(V::load(y + j) > V(0), value, V(0)); };
    const T count = total(units, [&](int j) { return within(j, V(1)); });
    const V mean(total(units, [&](int j) { return within(j, V::load(d + j)); }) / count);
    each(units, [&](int j, int) { within(j, V::load(d + j) - mean).store(d + j); });
  }
  // d, the gradient of an output y, becomes that of what it was made from
  EVENFLOW_INLINE static void through(Output output, T* d, const T* y, int units) {
    if (output == Output::softmax) through_softmax(d, y, units);
    if (output == Output::log_softmax) through_log_softmax(d, y, units);
    if (output == Output::sparsemax) through_sparsemax(d, y, units);
  }
  static void output_backward(Output output, T* dx, const T* dy, const T* y, std::ptrdiff_t stride, int units,
                              T* scratch, int first, int last) {
    T* p = scratch + layout().padded(units);
    for (int row = first; row < last; ++row) {
      gather(scratch, dy, stride, row, units);
      gather(p, y, stride, row, units);
      through(output, scratch, p, units);
      scatter(dx, scratch, stride, row, units);
    }
  }
};

}  // namespace evenflow
