// Losses of whole rows, with their gradients in the last stage. Which loss it is, is decided once for all rows.
#pragma once

#include <type_traits>

#include "kernels/loss_tiles.h"

namespace evenflow {

template <class V>
struct RowLosses : RowValues<V> {
  using Rows = RowKernels<V>;
  using Values = RowValues<V>;
  using T = typename Rows::T;
  using Exponentials = typename Rows::Exponentials;
  using Rows::divide;
  using Rows::each;
  using Rows::total;

  // One row. z holds the prediction, or the logits where the loss is computed from them, and becomes the gradient in it
  // times scale.
  struct Row {
    T *z, *p, *spare;  // p: of logits their softmax, where the loss absorbs that; else free
    Exponentials e;    // of that softmax
    const T* t;        // nullptr: there is a label
    std::int64_t label;
    int units;
    T scale;
  };
  template <bool from_logits>
  using Form = std::bool_constant<from_logits>;

  template <class Loss>
  EVENFLOW_INLINE static void run(const Loss& loss, const LossRows<T>& in, T* scratch, int first, int last) {
    if constexpr (std::is_same_v<Loss, SparseCategoricalCrossentropy>)
      if (LossTiles<V>::fit(loss, in)) return LossTiles<V>::run(in, scratch, first, last);
    if constexpr (Loss::absorbs != Output::plain)
      if (in.from_logits) return rows(loss, Form<true>(), in, scratch, first, last);
    rows(loss, Form<false>(), in, scratch, first, last);
  }

 private:
  template <class Loss, bool from_logits>
  EVENFLOW_INLINE static void rows(const Loss& loss, Form<from_logits> form, const LossRows<T>& in, T* scratch,
                                   int first, int last) {
    const int units = in.units, padded = Rows::layout().padded(units);
    const bool softmax = in.output == Output::softmax;
    Row r{scratch, scratch + padded, scratch + 2 * padded, {}, nullptr, 0, units, static_cast<T>(in.gradient_scale)};
    for (int row = first; row < last; ++row) {
      r.label = in.labels != nullptr ? in.labels[row] : 0;
      r.t = in.targets != nullptr ? in.targets + static_cast<std::ptrdiff_t>(row) * padded : nullptr;
      Rows::gather(r.z, in.z, in.stride, row, units);
      if (of_rows(in.output) && !softmax) {  // these are not computed with the loss
        Rows::apply(in.output, r.z, r.p, units);
        each(units, [&](int j, int) { V::load(r.z + j).store(r.p + j); });
      }
      if (softmax || (from_logits && Loss::absorbs == Output::softmax)) {
        r.e = Rows::exponentials(r.p, r.z, units);
        divide(r.p, r.e.sum, units);
      } else if (in.output == Output::sigmoid) {
        each(units, [&](int j, int) { sigmoid(V::load(r.z + j)).store(r.p + j); });
      }
      if (in.one_hot_labels) soft(r, 0);
      const MetricRow<T> seen{softmax || in.output == Output::sigmoid ? r.p : r.z, in.one_hot_labels ? r.spare : r.t,
                              r.label};
      in.count(seen, row);
      double factor = in.value_scale;
      if (in.weights != nullptr) {
        factor *= in.weights[row];
        r.scale = static_cast<T>(in.gradient_scale * in.weights[row]);
      }
      if (!from_logits && softmax) each(units, [&](int j, int) { V::load(r.p + j).store(r.z + j); });
      const T value = of_row(loss, form, r);
      if (!from_logits) Rows::through(in.output, r.z, r.p, units);
      in.losses[row] = static_cast<double>(value) * factor;
      if (in.dz != nullptr) Rows::scatter(in.dz, r.z, in.stride, row, units);
    }
  }

  EVENFLOW_INLINE static void store(T* to, int j, int valid, V x) { select(V::first(valid), x, V(0)).store(to + j); }

  // ---- one output by itself

  template <class Element>
  EVENFLOW_INLINE static T elementwise(const Element& element, const Row& r, const T* t) {
    const T value = Values::value_sum(element, r.z, t, r.units);
    const V factor(Element::mean ? r.scale / static_cast<T>(r.units) : r.scale);
    each(r.units,
         [&](int j, int valid) { store(r.z, j, valid, element.slope(V::load(r.z + j), V::load(t + j)) * factor); });
    return Element::mean ? value / static_cast<T>(r.units) : value;
  }
  template <class Loss, bool from_logits>
  EVENFLOW_INLINE static T of_row(const Loss& loss, Form<from_logits>, const Row& r) {
    if constexpr (from_logits)
      return elementwise(loss.of_logits(), r, r.t);
    else
      return elementwise(loss, r, r.t);
  }

  // ---- classes

  // A row's targets: those given or one-hot of the label, drawn to the mean of all classes.
  EVENFLOW_INLINE static const T* soft(const Row& r, double smoothing) {
    if (r.t != nullptr && smoothing == 0) return r.t;
    const double even = 1.0 / r.units;
    each(r.units, [&](int j, int valid) {
      store(r.spare, j, valid, smoothed(r.t != nullptr ? V::load(r.t + j) : V(0), smoothing, even));
    });
    if (r.t == nullptr) r.spare[r.label] = smoothed(T(1), smoothing, even);
    return r.spare;
  }

  // The sum over classes of z / sum(z), as in Keras.
  template <class Element>
  EVENFLOW_INLINE static T normalized(const Element& element, const Row& r, const T* t) {
    const T whole = total(r.units, [&](int j) { return V::load(r.z + j); });
    divide(r.z, whole, r.units);
    each(r.units, [&](int j, int) { V::load(r.z + j).store(r.p + j); });
    const T value = elementwise(element, r, t);
    const V mean(total(r.units, [&](int j) { return V::load(r.p + j) * V::load(r.z + j); }));
    each(r.units, [&](int j, int valid) { store(r.z, j, valid, (V::load(r.z + j) - mean) / V(whole)); });
    return value;
  }

  // -sum t log softmax(z); t nullptr: of the label
  EVENFLOW_INLINE static T crossentropy(const Row& r, const T* t) {
    const CategoricalCrossentropyFromLogits<T> loss{r.e.highest, log(r.e.sum)};
    T value, weight;
    if (t == nullptr) {
      value = loss.value(r.z[r.label], T(1));
      weight = 1;
    } else {
      value = Values::value_sum(loss, r.z, t, r.units);
      weight = total(r.units, [&](int j) { return V::load(t + j); });
    }
    each(r.units, [&](int j, int) {
      V slope = V::load(r.p + j) * V(weight);
      if (t != nullptr) slope -= V::load(t + j);
      (slope * V(r.scale)).store(r.z + j);
    });
    if (t == nullptr) r.z[r.label] = (r.p[r.label] - 1) * r.scale;
    return value;
  }
  EVENFLOW_INLINE static T of_row(const CategoricalCrossentropy& loss, Form<true>, const Row& r) {
    return crossentropy(r, soft(r, loss.label_smoothing));
  }
  EVENFLOW_INLINE static T of_row(const CategoricalCrossentropy& loss, Form<false>, const Row& r) {
    return normalized(loss, r, soft(r, loss.label_smoothing));
  }
  template <bool from_logits>
  EVENFLOW_INLINE static T of_row(const SparseCategoricalCrossentropy& loss, Form<from_logits>, const Row& r) {
    if (r.label == loss.ignore_class) {
      each(r.units, [&](int j, int) { V(0).store(r.z + j); });
      return 0;
    }
    if (!from_logits) return normalized(CategoricalCrossentropy(), r, soft(r, loss.label_smoothing));
    return crossentropy(r, loss.label_smoothing == 0 ? nullptr : soft(r, loss.label_smoothing));
  }

  EVENFLOW_INLINE static T of_row(const CategoricalFocalCrossentropy& loss, Form<false>, const Row& r) {
    return normalized(loss, r, soft(r, loss.label_smoothing));
  }
  EVENFLOW_INLINE static T of_row(const CategoricalFocalCrossentropy& loss, Form<true>, const Row& r) {
    const T* t = soft(r, loss.label_smoothing);
    const V below(r.e.highest + log(r.e.sum));
    const T value = total(
        r.units, [&](int j) { return loss.of_logarithm(V::load(r.p + j), V::load(r.z + j) - below, V::load(t + j)); });
    each(r.units, [&](int j, int valid) {
      store(r.z, j, valid, loss.slope_times_p(V::load(r.p + j), V::load(r.z + j) - below, V::load(t + j)));
    });
    const V whole(total(r.units, [&](int j) { return V::load(r.z + j); }));
    each(r.units, [&](int j, int) { ((V::load(r.z + j) - V::load(r.p + j) * whole) * V(r.scale)).store(r.z + j); });
    return value;
  }

  EVENFLOW_INLINE static T of_row(const CategoricalHinge&, Form<false>, const Row& r) {
    const typename Values::Margin found = Values::categorical_hinge(r.z, r.t, r.units);
    const V scale(found.value > 0 ? r.scale : T(0));
    each(r.units, [&](int j, int) { (-V::load(r.t + j) * scale).store(r.z + j); });
    if (found.value > 0) r.z[found.worst] += (T(1) - r.t[found.worst]) * r.scale;
    return found.value;
  }

  // ---- directions

  EVENFLOW_INLINE static T of_row(const CosineSimilarity&, Form<false>, const Row& r) {
    const typename Values::Direction d = Values::cosine_similarity(r.z, r.t, r.units);
    const V along(d.short_p ? T(0) : d.cosine * d.by_p), across(d.by_t), scale(d.by_p * r.scale);
    each(r.units, [&](int j, int) { ((V::load(r.z + j) * along - V::load(r.t + j) * across) * scale).store(r.z + j); });
    return -d.cosine;
  }

  // ---- several outputs for each target

  EVENFLOW_INLINE static T of_row(const QuantileLoss& loss, Form<false>, const Row& r) {
    const int columns = r.units / loss.quantiles.count;
    const V factor(r.scale / static_cast<T>(r.units));
    const T value = Values::pinball_sum(loss, r.z, r.t, columns);
    for (int k = 0; k < loss.quantiles.count; ++k) {
      T* z = r.z + k * columns;
      each(columns, [&](int j, int valid) {
        const V slope = loss.slope(V::load(z + j, valid), V::load(r.t + j), loss.quantiles.at[k]);
        (slope * factor).store(z + j, valid);
      });
    }
    return value / static_cast<T>(r.units);
  }

  EVENFLOW_INLINE static T of_row(const GaussianNegativeLogLikelihood& loss, Form<false>, const Row& r) {
    const int columns = r.units / 2;
    T* const spread = r.z + columns;
    const V factor(r.scale / static_cast<T>(columns));
    const auto log_variance = [&](int j) { return V::load(spread + j, smaller(V::lanes, columns - j)); };
    const T value =
        total(columns, [&](int j) { return loss.value(V::load(r.z + j), log_variance(j), V::load(r.t + j)); });
    each(columns, [&](int j, int valid) {
      V dm, ds;
      loss.slopes(V::load(r.z + j), log_variance(j), V::load(r.t + j), dm, ds);
      (dm * factor).store(r.z + j, valid);
      (ds * factor).store(spread + j, valid);
    });
    return value / static_cast<T>(columns);
  }
};

}  // namespace evenflow
