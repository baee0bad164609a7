// Records of metrics, row by row: one function for each kind, chosen once for a program.
#pragma once

#include "kernels/rows.h"

namespace evenflow {
namespace metric_kinds {

template <class V>
struct Records {
  using T = scalar_of<V>;
  using Row = MetricRow<T>;
  using Rows = RowKernels<V>;

  template <class Kind>
  static void record(const Metric& m, const Row& row, double* to, std::ptrdiff_t stride) {
    if constexpr (std::is_same_v<typename Kind::Form, MeanForm>)
      *to = value(Kind(), m, row);
    else
      write(Kind(), m, row, to, stride);
  }

 private:
  // ---- one value of a row

  template <class Element>
  EVENFLOW_INLINE static double sum_of(const Element& element, const Metric& m, const Row& row) {
    return static_cast<double>(
        Rows::total(m.units, [&](int j) { return element.value(V::load(row.p + j), V::load(row.t + j)); }));
  }
  // The same with smoothed targets: t (1 - smoothing) + smoothing / classes.
  template <class Element>
  EVENFLOW_INLINE static double smoothed_sum_of(const Element& element, const Metric& m, const Row& row, int classes) {
    if (m.label_smoothing == 0) return sum_of(element, m, row);
    const V keep(static_cast<T>(1 - m.label_smoothing)), rest(static_cast<T>(m.label_smoothing / classes));
    return static_cast<double>(Rows::total(
        m.units, [&](int j) { return element.value(V::load(row.p + j), V::load(row.t + j) * keep + rest); }));
  }
  EVENFLOW_INLINE static int highest(const T* x, int units) {
    int best = 0;
    for (int j = 1; j < units; ++j)
      if (x[j] > x[best]) best = j;
    return best;
  }
  // Whether an output is among the k largest of its row; equal ones all are. NaN never is.
  EVENFLOW_INLINE static double in_top_k(const Metric& m, const T* p, std::int64_t j) {
    const V own(p[j]);
    const T above = Rows::total(m.units, [&](int i) { return select(V::load(p + i) <= own, V(0), V(1)); });
    return above < static_cast<T>(m.k) ? 1 : 0;
  }

  template <class Element>
  EVENFLOW_INLINE static double value(UnitMean<Element>, const Metric& m, const Row& row) {
    return sum_of(Element(), m, row) / m.units;
  }
  EVENFLOW_INLINE static double value(BinaryAccuracy, const Metric& m, const Row& row) {
    return sum_of(OnTheRightSide{m.threshold}, m, row) / m.units;
  }
  EVENFLOW_INLINE static double value(CategoricalAccuracy, const Metric& m, const Row& row) {
    return highest(row.p, m.units) == highest(row.t, m.units) ? 1 : 0;
  }
  EVENFLOW_INLINE static double value(SparseCategoricalAccuracy, const Metric& m, const Row& row) {
    return highest(row.p, m.units) == row.label ? 1 : 0;
  }
  EVENFLOW_INLINE static double value(TopKCategoricalAccuracy, const Metric& m, const Row& row) {
    return in_top_k(m, row.p, highest(row.t, m.units));
  }
  EVENFLOW_INLINE static double value(SparseTopKCategoricalAccuracy, const Metric& m, const Row& row) {
    return in_top_k(m, row.p, row.label);
  }
  // max(0, 1 + the largest (1 - t) p - sum t p)
  EVENFLOW_INLINE static double value(CategoricalHinge, const Metric& m, const Row& row) {
    T right = 0, wrong = -Format<T>::infinity;
    for (int j = 0; j < m.units; ++j) {
      right += row.t[j] * row.p[j];
      wrong = max(wrong, (1 - row.t[j]) * row.p[j]);
    }
    return static_cast<double>(at_least(wrong - right + 1, T(0)));
  }
  EVENFLOW_INLINE static double value(KLDivergence, const Metric& m, const Row& row) {
    return sum_of(RelativeEntropy(), m, row);
  }
  // sum p t / (|p| |t|), with Keras' limit of 1e-12 below the squares
  EVENFLOW_INLINE static double value(CosineSimilarity, const Metric& m, const Row& row) {
    const auto product = [&](const T* a, const T* b) {
      return Rows::total(m.units, [&](int j) { return V::load(a + j) * V::load(b + j); });
    };
    const auto length = [&](const T* a) { return sqrt(at_least(product(a, a), T(1e-12))); };
    return static_cast<double>(product(row.p, row.t) / (length(row.p) * length(row.t)));
  }
  EVENFLOW_INLINE static double value(BinaryCrossentropyMetric, const Metric& m, const Row& row) {
    return (m.from_logits ? smoothed_sum_of(BinaryCrossentropyFromLogits(), m, row, 2)
                          : smoothed_sum_of(BinaryCrossentropy(), m, row, 2)) /
           m.units;
  }
  // -t log(p), where p is x / whole, or exp(x - highest) / whole of a logit x
  struct Share {
    T whole;
    template <class W>
    W value(W x, W t) const {
      return CategoricalCrossentropy().value(x / W(whole), t);
    }
  };
  struct ShareOfLogits {
    T highest, log_whole;
    template <class W>
    W value(W x, W t) const {
      return t * (W(log_whole) - (x - W(highest)));
    }
  };
  EVENFLOW_INLINE static Share share(const Metric& m, const T* p) {
    return {Rows::total(m.units, [&](int j) { return V::load(p + j); })};
  }
  EVENFLOW_INLINE static ShareOfLogits share_of_logits(const Metric& m, const T* z) {
    V top(-Format<T>::infinity);
    Rows::each(m.units, [&](int j, int valid) {
      top = max(top, select(V::first(valid), V::load(z + j), V(-Format<T>::infinity)));
    });
    const T highest = maximum(top);
    return {highest, log(Rows::total(m.units, [&](int j) { return exp(V::load(z + j) - V(highest)); }))};
  }
  EVENFLOW_INLINE static double value(CategoricalCrossentropyMetric, const Metric& m, const Row& row) {
    return m.from_logits ? smoothed_sum_of(share_of_logits(m, row.p), m, row, m.units)
                         : smoothed_sum_of(share(m, row.p), m, row, m.units);
  }
  EVENFLOW_INLINE static double value(SparseCategoricalCrossentropyMetric, const Metric& m, const Row& row) {
    const T x = row.p[row.label];
    return static_cast<double>(m.from_logits ? share_of_logits(m, row.p).value(x, T(1))
                                             : share(m, row.p).value(x, T(1)));
  }

  // ---- three sums for each unit

  EVENFLOW_INLINE static void write(R2Sums, const Metric& m, const Row& row, double* to, std::ptrdiff_t stride) {
    const std::ptrdiff_t block = stride * m.units;
    for (int j = 0; j < m.units; ++j, to += stride) {
      const double t = static_cast<double>(row.t[j]), residual = t - static_cast<double>(row.p[j]);
      to[0] = t;
      to[block] = t * t;
      to[2 * block] = residual * residual;
    }
  }
  EVENFLOW_INLINE static void write(ClassSums, const Metric& m, const Row& row, double* to, std::ptrdiff_t stride) {
    const std::ptrdiff_t block = stride * m.units;
    const T top = row.p[highest(row.p, m.units)], threshold = static_cast<T>(m.threshold);
    for (int j = 0; j < m.units; ++j, to += stride) {
      const T p = row.p[j];
      const bool predicted = m.strongest ? p >= top && abs(p) > T(1e-9) : p > threshold;  // the limit is Keras'
      to[0] = predicted ? static_cast<double>(row.t[j]) : 0;
      to[block] = predicted ? 1 : 0;
      to[2 * block] = static_cast<double>(row.t[j]);
    }
  }

  // ---- what is counted

  // The number of thresholds below p: a guess and a look at its neighbours, or log2(thresholds) steps.
  EVENFLOW_INLINE static int below(const Metric& m, T p) {
    const int all = m.threshold_count;
    const auto above = [&](int i) { return p > static_cast<T>(m.thresholds[i]); };
    int first = 0;
    if (m.even) {
      const T guess = p * static_cast<T>(all + 1);
      first = guess < static_cast<T>(all) ? (guess > 0 ? static_cast<int>(guess) : 0) : (guess > 0 ? all : 0);
      while (first > 0 && !above(first - 1)) --first;
      while (first < all && above(first)) ++first;
      return first;
    }
    for (int count = all; count > 0;) {
      const int half = count / 2;
      const bool right = above(first + half);
      first = right ? first + half + 1 : first;
      count = right ? count - half - 1 : half;
    }
    return first;
  }
  // The last of a row's k largest outputs, the first ones first among equals.
  EVENFLOW_INLINE static int last_of_top_k(const Metric& m, const T* p) {
    int last = highest(p, m.units);
    for (int taken = 1; taken < m.k; ++taken) {
      int next = -1;
      for (int j = 0; j < m.units; ++j) {
        const bool left = p[j] < p[last] || (p[j] == p[last] && j > last);
        if (left && (next < 0 || p[j] > p[next])) next = j;
      }
      if (next < 0) break;  // the rest is NaN
      last = next;
    }
    return last;
  }
  EVENFLOW_INLINE static void write(ThresholdCounts, const Metric& m, const Row& row, double* to,
                                    std::ptrdiff_t stride) {
    const int first = m.class_id >= 0 ? m.class_id : 0, last = m.k > 0 ? last_of_top_k(m, row.p) : 0;
    for (int label = 0; label < m.labels(); ++label, to += stride) {
      const int j = first + label;
      const T p = row.p[j];
      const bool taken = m.k == 0 || p > row.p[last] || (p == row.p[last] && j <= last);
      const std::ptrdiff_t group = std::ptrdiff_t{2} * (m.multi_label ? label : 0) + (row.t[j] != 0 ? 1 : 0);
      *to = static_cast<double>(group * m.bins() + (taken ? below(m, p) : 0));
    }
  }
  EVENFLOW_INLINE static void write(ConfusionMatrix, const Metric& m, const Row& row, double* to, std::ptrdiff_t) {
    const auto class_of = [&](const T* x) {
      return m.units == 1 ? (x[0] > static_cast<T>(m.threshold) ? 1 : 0) : highest(x, m.units);
    };
    *to = static_cast<double>(std::ptrdiff_t{class_of(row.t)} * m.classes() + class_of(row.p));
  }
};

}  // namespace metric_kinds
}  // namespace evenflow
