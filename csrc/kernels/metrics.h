// Records of metrics, row by row: one function for each kind, chosen once for a program.
#pragma once

#include "kernels/row_values.h"

namespace evenflow {
namespace metric_kinds {

template <class V>
struct Records {
  using T = scalar_of<V>;
  using Row = MetricRow<T>;
  using Rows = RowKernels<V>;
  using Values = RowValues<V>;

  template <class Kind>
  EVENFLOW_INLINE static void record(const Metric& m, const Row& given, double* to, std::ptrdiff_t stride) {
    const Row row{given.p + m.first, given.t, given.label};
    if constexpr (std::is_same_v<typename Kind::Form, MeanForm>)
      *to = value(Kind(), m, row);
    else
      write(Kind(), m, row, to, stride);
  }

 private:
  // ---- one value of a row

  template <class Element>
  EVENFLOW_INLINE static double sum_of(const Element& element, const Metric& m, const Row& row) {
    return static_cast<double>(Values::value_sum(element, row.p, row.t, m.units));
  }
  // Of an element, with targets drawn to the mean of all classes.
  template <class Element>
  struct Smoothed {
    const Element& element;
    double smoothing, even;
    template <class W>
    EVENFLOW_INLINE W value(W x, W t) const {
      return element.value(x, smoothed(t, smoothing, even));
    }
  };
  template <class Element>
  EVENFLOW_INLINE static double smoothed_sum_of(const Element& element, const Metric& m, const Row& row) {
    return sum_of(Smoothed<Element>{element, m.label_smoothing, 1.0 / m.units}, m, row);
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
  EVENFLOW_INLINE static double value(CategoricalHinge, const Metric& m, const Row& row) {
    return static_cast<double>(Values::categorical_hinge(row.p, row.t, m.units).value);
  }
  EVENFLOW_INLINE static double value(KLDivergence, const Metric& m, const Row& row) {
    return sum_of(KullbackLeiblerDivergence(), m, row);
  }
  EVENFLOW_INLINE static double value(CosineSimilarity, const Metric& m, const Row& row) {
    return static_cast<double>(Values::cosine_similarity(row.p, row.t, m.units).cosine);
  }
  EVENFLOW_INLINE static double value(BinaryCrossentropyMetric, const Metric& m, const Row& row) {
    const BinaryCrossentropy loss{{}, m.label_smoothing};
    return (m.from_logits ? sum_of(loss.of_logits(), m, row) : sum_of(loss, m, row)) / m.units;
  }
  // -t log(x / whole)
  struct Share {
    T whole;
    template <class W>
    EVENFLOW_INLINE W value(W x, W t) const {
      return CategoricalCrossentropy().value(x / W(whole), t);
    }
  };
  EVENFLOW_INLINE static Share share(const Metric& m, const T* p) {
    return {Rows::total(m.units, [&](int j) { return V::load(p + j); })};
  }
  EVENFLOW_INLINE static CategoricalCrossentropyFromLogits<T> share_of_logits(const Metric& m, const T* z) {
    const typename Rows::Exponentials e = Rows::each_exponential(z, m.units, [](int, V) {});
    return {e.highest, log(e.sum)};
  }
  EVENFLOW_INLINE static double value(CategoricalCrossentropyMetric, const Metric& m, const Row& row) {
    return m.from_logits ? smoothed_sum_of(share_of_logits(m, row.p), m, row)
                         : smoothed_sum_of(share(m, row.p), m, row);
  }
  EVENFLOW_INLINE static double value(SparseCategoricalCrossentropyMetric, const Metric& m, const Row& row) {
    const T x = row.p[row.label];
    return static_cast<double>(m.from_logits ? share_of_logits(m, row.p).value(x, T(1))
                                             : share(m, row.p).value(x, T(1)));
  }

  // ---- correlations of a row's units

  struct Moments {
    T p, t, squares_p, squares_t, products;  // means, and sums about them
  };
  EVENFLOW_INLINE static Moments moments(const Metric& m, const Row& row) {
    const auto mean = [&](const T* x) {
      return Rows::total(m.units, [&](int j) { return V::load(x + j); }) / static_cast<T>(m.units);
    };
    const T p = mean(row.p), t = mean(row.t);
    const auto product = [&](const T* a, T about_a, const T* b, T about_b) {
      return Rows::total(m.units, [&](int j) { return (V::load(a + j) - V(about_a)) * (V::load(b + j) - V(about_b)); });
    };
    return {p, t, product(row.p, p, row.p, p), product(row.t, t, row.t, t), product(row.p, p, row.t, t)};
  }
  EVENFLOW_INLINE static double value(PearsonCorrelation, const Metric& m, const Row& row) {
    const Moments s = moments(m, row);
    return static_cast<double>(s.products / (sqrt(s.squares_p) * sqrt(s.squares_t)));
  }
  EVENFLOW_INLINE static double value(ConcordanceCorrelation, const Metric& m, const Row& row) {
    const Moments s = moments(m, row);
    const T n = static_cast<T>(m.units), shift = s.t - s.p;
    return static_cast<double>(2 * (s.products / n) /
                               ((s.squares_p + s.squares_t) / n + shift * shift + loss_epsilon<T>()));
  }

  // ---- several outputs for each target

  EVENFLOW_INLINE static double value(Pinball, const Metric& m, const Row& row) {
    const QuantileLoss loss{{}, m.quantiles};
    return static_cast<double>(Values::pinball_sum(loss, row.p, row.t, m.units)) / (m.units * m.blocks);
  }
  // f(lower end, upper end, j), mean over the units
  template <class Value>
  EVENFLOW_INLINE static double of_outputs(const Metric& m, const Row& row, Value f) {
    const T* lower = row.p + static_cast<int>(m.lower) * m.units;
    const T* upper = row.p + static_cast<int>(m.upper) * m.units;
    return static_cast<double>(
               Rows::total(m.units, [&](int j) { return f(V::load(lower + j), V::load(upper + j), j); })) /
           m.units;
  }
  template <class Value>
  EVENFLOW_INLINE static double of_normal(const Metric& m, const Row& row, Value f) {
    const NormalQuantile lower{m.lower}, upper{m.upper};
    const auto term = [&](int j) {
      const V mean = V::load(row.p + j), log_variance = V::load(row.p + m.units + j);
      return f(lower.value(mean, log_variance), upper.value(mean, log_variance), j);
    };
    return static_cast<double>(Rows::total(m.units, term)) / m.units;
  }
  EVENFLOW_INLINE static auto coverage(const Row& row) {
    return [&row](V lower, V upper, int j) { return Within().value(lower, upper, V::load(row.t + j)); };
  }
  EVENFLOW_INLINE static auto width() {
    return [](V lower, V upper, int) { return upper - lower; };
  }
  EVENFLOW_INLINE static double value(IntervalCoverage, const Metric& m, const Row& row) {
    return of_outputs(m, row, coverage(row));
  }
  EVENFLOW_INLINE static double value(IntervalWidth, const Metric& m, const Row& row) {
    return of_outputs(m, row, width());
  }
  EVENFLOW_INLINE static double value(NormalCoverage, const Metric& m, const Row& row) {
    return of_normal(m, row, coverage(row));
  }
  EVENFLOW_INLINE static double value(NormalWidth, const Metric& m, const Row& row) {
    return of_normal(m, row, width());
  }

  // ---- sums for each unit

  EVENFLOW_INLINE static void write(Predictions, const Metric& m, const Row& row, double* to, std::ptrdiff_t stride) {
    for (int j = 0; j < m.units; ++j, to += stride) *to = static_cast<double>(row.p[j]);
  }

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
  // -1 for what is no class
  EVENFLOW_INLINE static int class_of(ClassOf how, const Metric& m, const T* x, int j) {
    switch (how) {
      case ClassOf::strongest: {
        const int found = highest(x, m.units);
        return found < m.classes() ? found : -1;
      }
      case ClassOf::number:
        return x[j] > T(-1) && x[j] < static_cast<T>(m.classes()) ? static_cast<int>(x[j]) : -1;
      case ClassOf::above:
        return x[j] > static_cast<T>(m.threshold) ? 1 : 0;
      default:
        return x[j] >= static_cast<T>(m.threshold) ? 1 : 0;
    }
  }
  EVENFLOW_INLINE static void write(ConfusionMatrix, const Metric& m, const Row& row, double* to,
                                    std::ptrdiff_t stride) {
    for (int j = 0; j < m.pairs(); ++j, to += stride) {
      const int actual = class_of(m.target_class, m, row.t, j), predicted = class_of(m.prediction_class, m, row.p, j);
      const bool counts = actual >= 0 && predicted >= 0 && actual != m.ignore_class;
      *to = counts ? static_cast<double>(std::ptrdiff_t{actual} * m.classes() + predicted) : -1;
    }
  }
};

}  // namespace metric_kinds
}  // namespace evenflow
