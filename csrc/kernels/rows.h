// Row operations on the last stage: softmax, losses with their gradients. One row at a time is gathered from
// its panels into contiguous scratch.
#pragma once

#include "kernels/kernels.h"
#include "math/losses.h"

namespace evenflow {

template <class V>
struct RowKernels {
  using T = scalar_of<V>;
  static constexpr Layout layout{V::lanes};

  EVENFLOW_INLINE static std::ptrdiff_t place(int unit, std::ptrdiff_t stride, int row, int units) {
    const int panel = unit / layout.full();
    return panel * stride + static_cast<std::ptrdiff_t>(row) * layout.width(units, panel) + unit % layout.full();
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
    const int last = smaller(end * layout.full(), layout.padded(features));
    for (int j = first * layout.full(); j < last; j += V::lanes)
      V::load(from + j, smaller(V::lanes, features - j)).store(panels + place(j, stride, row, features));
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
  // p = exp(z - max z), zero past the last unit
  EVENFLOW_INLINE static Exponentials exponentials(T* p, const T* z, int units) {
    V top(-Format<T>::infinity);
    each(units,
         [&](int j, int valid) { top = max(top, select(V::first(valid), V::load(z + j), V(-Format<T>::infinity))); });
    const T highest = maximum(top);
    V sums(0);
    each(units, [&](int j, int valid) {
      const V e = select(V::first(valid), exp(V::load(z + j) - V(highest)), V(0));
      e.store(p + j);
      sums += e;
    });
    return {highest, sum(sums)};
  }
  EVENFLOW_INLINE static void divide(T* p, T by, int units) {
    each(units, [&](int j, int) { (V::load(p + j) / V(by)).store(p + j); });
  }

  // z <- z - log(sum(exp(z))), with p for scratch
  EVENFLOW_INLINE static void log_softmax(T* z, T* p, int units) {
    const Exponentials e = exponentials(p, z, units);
    const V highest(e.highest), rest(log(e.sum));
    each(units,
         [&](int j, int valid) { select(V::first(valid), (V::load(z + j) - highest) - rest, V(0)).store(z + j); });
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
      apply(output, scratch, scratch + layout.padded(units), units);
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
  static void output_backward(Output output, T* dz, const T* y, std::ptrdiff_t stride, int units, T* scratch, int first,
                              int last) {
    T* p = scratch + layout.padded(units);
    for (int row = first; row < last; ++row) {
      gather(scratch, dz, stride, row, units);
      gather(p, y, stride, row, units);
      through(output, scratch, p, units);
      scatter(dz, scratch, stride, row, units);
    }
  }

  // The row's loss; z becomes its gradient times scale.
  template <class Element>
  EVENFLOW_INLINE static T elementwise(const Element& element, T* z, const T* t, int units, T scale, bool mean) {
    const T value = total(units, [&](int j) { return element.value(V::load(z + j), V::load(t + j)); });
    const V factor(mean ? scale / static_cast<T>(units) : scale);
    each(units, [&](int j, int valid) {
      const V slope = element.slope(V::load(z + j), V::load(t + j)) * factor;
      select(V::first(valid), slope, V(0)).store(z + j);
    });
    return mean ? value / static_cast<T>(units) : value;
  }

  // The categorical cross-entropy of z / sum(z), as in Keras; z becomes its gradient in z times scale.
  EVENFLOW_INLINE static T normalized_crossentropy(T* z, T* p, const T* t, int units, T scale) {
    const T whole = total(units, [&](int j) { return V::load(z + j); });
    divide(z, whole, units);
    each(units, [&](int j, int) { V::load(z + j).store(p + j); });
    const T value = elementwise(CategoricalCrossentropy(), z, t, units, scale, false);
    const V mean(total(units, [&](int j) { return V::load(p + j) * V::load(z + j); }));
    each(units,
         [&](int j, int valid) { select(V::first(valid), (V::load(z + j) - mean) / V(whole), V(0)).store(z + j); });
    return value;
  }

  // -sum t log softmax(z) with p and its exponentials at hand; z becomes the gradient times scale.
  EVENFLOW_INLINE static T crossentropy(T* z, const T* p, Exponentials e, const T* t, std::int64_t label, int units,
                                        T scale) {
    const T log_sum = log(e.sum);
    T value, weight;
    if (t == nullptr) {
      value = log_sum - (z[label] - e.highest);
      weight = 1;
    } else {
      const V highest(e.highest), rest(log_sum);
      value = total(units, [&](int j) { return V::load(t + j) * (rest - (V::load(z + j) - highest)); });
      weight = total(units, [&](int j) { return V::load(t + j); });
    }
    each(units, [&](int j, int) {
      V slope = V::load(p + j) * V(weight);
      if (t != nullptr) slope -= V::load(t + j);
      (slope * V(scale)).store(z + j);
    });
    if (t == nullptr) z[label] = (p[label] - 1) * scale;
    return value;
  }

  EVENFLOW_INLINE static void make_one_hot(T* one_hot, std::int64_t label, int units) {
    each(units, [&](int j, int) { V(0).store(one_hot + j); });
    one_hot[label] = 1;
  }

  static void loss(const LossRows<T>& in, T* scratch, int first, int last) {
    const int units = in.units, padded = layout.padded(units);
    T *z = scratch, *p = scratch + padded, *one_hot = scratch + 2 * padded;
    const bool categorical =
        in.loss == Loss::categorical_crossentropy || in.loss == Loss::sparse_categorical_crossentropy;
    const T scale = static_cast<T>(in.gradient_scale);
    for (int row = first; row < last; ++row) {
      const std::int64_t label = in.labels != nullptr ? in.labels[row] : 0;
      const T* t = in.targets != nullptr ? in.targets + static_cast<std::ptrdiff_t>(row) * padded : nullptr;
      gather(z, in.z, in.stride, row, units);
      if (of_rows(in.output) && in.output != Output::softmax) apply(in.output, z, p, units);
      // the prediction, in p
      Exponentials e{};
      if (in.output == Output::softmax || (categorical && in.from_logits)) e = exponentials(p, z, units);
      if (in.output == Output::softmax || (categorical && in.from_logits)) divide(p, e.sum, units);
      const bool plain = in.output != Output::softmax && in.output != Output::sigmoid;
      if (in.output == Output::sigmoid)
        each(units, [&](int j, int) { sigmoid(V::load(z + j)).store(p + j); });
      else if (plain && !(categorical && in.from_logits))
        each(units, [&](int j, int) { V::load(z + j).store(p + j); });
      if (in.one_hot_labels) make_one_hot(one_hot, label, units);
      const MetricRow<T> seen{plain ? z : p, in.one_hot_labels ? one_hot : t, label};
      for (const MetricOutput<T>* m = in.metrics; m < in.metrics + in.metric_count; ++m)
        m->kernel(m->settings, seen, m->records + row, in.metric_stride);
      // the loss, and its gradient in z
      T value;
      if (categorical && in.from_logits) {
        value = crossentropy(z, p, e, t, label, units, scale);
      } else if (in.loss == Loss::binary_crossentropy && in.from_logits) {
        value = elementwise(BinaryCrossentropyFromLogits(), z, t, units, scale, true);
      } else {
        if (in.output == Output::softmax) each(units, [&](int j, int) { V::load(p + j).store(z + j); });
        if (in.loss == Loss::sparse_categorical_crossentropy) {
          make_one_hot(one_hot, label, units);
          value = normalized_crossentropy(z, p, one_hot, units, scale);
        } else if (in.loss == Loss::categorical_crossentropy) {
          value = normalized_crossentropy(z, p, t, units, scale);
        } else if (in.loss == Loss::binary_crossentropy) {
          value = elementwise(BinaryCrossentropy(), z, t, units, scale, true);
        } else {
          value = elementwise(SquaredError(), z, t, units, scale, true);
        }
        through(in.output, z, p, units);
      }
      in.losses[row] = static_cast<double>(value);
      if (in.dz != nullptr) scatter(in.dz, z, in.stride, row, units);
    }
  }
};

}  // namespace evenflow
