// What a metric is: settings, and for each kind how its state of sums is laid out. A row gives a record of `width`
// numbers; records are gathered in row order, so that neither threads nor slices change a bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "math/metrics.h"

namespace evenflow {

// How a row's classes are read: as the place of its largest value, or of each value by itself, as the number that it
// is, or as 1 where it is above the threshold, or from the threshold on.
enum class ClassOf { strongest, number, above, from };
constexpr const char* class_words[] = {"strongest", "number", "above", "from"};

struct Metric {
  int units = 1;   // of the network's output, or of each of its blocks
  int blocks = 1;  // of outputs, each as wide as the targets
  int first = 0;   // output that is read
  double threshold = 0.5;
  bool strongest = false;  // a row's largest outputs in place of those above the threshold
  bool from_logits = false;
  double label_smoothing = 0;
  int k = 0;          // only a row's k largest outputs; 0: all
  int class_id = -1;  // only this output; -1: all
  bool multi_label = false;
  const double* thresholds = nullptr;  // ascending
  int threshold_count = 0;
  bool even = false;  // they are about i / (count + 1)
  QuantileLoss::Levels quantiles;
  double lower = 0, upper = 0;  // ends of an interval: blocks, or deviations from a mean
  int class_count = 0;          // 0: as many as there are outputs, or 2 of one
  std::int64_t ignore_class = no_class;
  ClassOf target_class = ClassOf::strongest, prediction_class = ClassOf::strongest;

  EVENFLOW_INLINE int labels() const { return class_id >= 0 ? 1 : units; }
  EVENFLOW_INLINE int bins() const { return threshold_count + 1; }
  EVENFLOW_INLINE int classes() const { return class_count > 0 ? class_count : units == 1 ? 2 : units; }
  EVENFLOW_INLINE int pairs() const {
    return prediction_class == ClassOf::strongest ? 1 : units;
  }  // of classes, in a row
};

// One row, contiguous and padded.
template <class T>
struct MetricRow {
  const T* p;
  const T* t;  // nullptr for labels, where nobody wants them one-hot
  std::int64_t label;
};

enum class Targets { dense, labels, either, none };  // `either`: labels are read as one-hot rows; `none`: not read

// Forms of state: record width, sums, and whether records are added or name what they count; a negative one counts
// nothing.
struct MeanForm {  // the sum of the rows' values
  static constexpr bool counts = false;
  static std::ptrdiff_t width(const Metric&) { return 1; }
  static std::ptrdiff_t size(const Metric&) { return 1; }
};
struct UnitSumsForm {  // three sums for each unit, [3][units]
  static constexpr bool counts = false;
  static std::ptrdiff_t width(const Metric& m) { return std::ptrdiff_t{3} * m.units; }
  static std::ptrdiff_t size(const Metric& m) { return std::ptrdiff_t{3} * m.units; }
};
struct OutputsForm {  // of each unit
  static constexpr bool counts = false;
  static std::ptrdiff_t width(const Metric& m) { return m.units; }
  static std::ptrdiff_t size(const Metric& m) { return m.units; }
};
struct HistogramForm {  // predictions by the number of thresholds below them, [labels or 1][negative, positive][bins]
  static constexpr bool counts = true;
  static std::ptrdiff_t width(const Metric& m) { return m.labels(); }
  static std::ptrdiff_t size(const Metric& m) { return std::ptrdiff_t{m.multi_label ? m.labels() : 1} * 2 * m.bins(); }
};
struct MatrixForm {  // [class of the target][class of the prediction]
  static constexpr bool counts = true;
  static std::ptrdiff_t width(const Metric& m) { return m.pairs(); }
  static std::ptrdiff_t size(const Metric& m) { return std::ptrdiff_t{m.classes()} * m.classes(); }
};

namespace metric_kinds {

template <class FormOf, Targets kind_of_targets>
struct MetricKind {
  using Form = FormOf;
  static constexpr Targets targets = kind_of_targets;
};
using DenseMean = MetricKind<MeanForm, Targets::dense>;
using LabelMean = MetricKind<MeanForm, Targets::labels>;

// The mean of an element's values over the units.
template <class ElementOf>
struct UnitMean : DenseMean {
  using Element = ElementOf;
};

struct Accuracy : UnitMean<Equal> {
  static constexpr const char* name = "accuracy";
};
struct BinaryAccuracy : DenseMean {
  static constexpr const char* name = "binary_accuracy";
};
struct CategoricalAccuracy : DenseMean {
  static constexpr const char* name = "categorical_accuracy";
};
struct SparseCategoricalAccuracy : LabelMean {
  static constexpr const char* name = "sparse_categorical_accuracy";
};
struct TopKCategoricalAccuracy : DenseMean {
  static constexpr const char* name = "top_k_categorical_accuracy";
};
struct SparseTopKCategoricalAccuracy : LabelMean {
  static constexpr const char* name = "sparse_top_k_categorical_accuracy";
};
struct MeanAbsoluteError : UnitMean<AbsoluteError> {
  static constexpr const char* name = "mean_absolute_error";
};
struct MeanSquaredError : UnitMean<SquaredError> {
  static constexpr const char* name = "mean_squared_error";
};
struct MeanAbsolutePercentageError : UnitMean<AbsolutePercentageError> {
  static constexpr const char* name = "mean_absolute_percentage_error";
};
struct MeanSquaredLogarithmicError : UnitMean<SquaredLogarithmicError> {
  static constexpr const char* name = "mean_squared_logarithmic_error";
};
struct LogCoshError : UnitMean<LogCosh> {
  static constexpr const char* name = "log_cosh";
};
struct MeanHinge : UnitMean<Hinge> {
  static constexpr const char* name = "hinge";
};
struct MeanSquaredHinge : UnitMean<SquaredHinge> {
  static constexpr const char* name = "squared_hinge";
};
struct Poisson : UnitMean<PoissonLoss> {
  static constexpr const char* name = "poisson";
};
struct CategoricalHinge : DenseMean {
  static constexpr const char* name = "categorical_hinge";
};
struct KLDivergence : DenseMean {
  static constexpr const char* name = "kl_divergence";
};
struct CosineSimilarity : DenseMean {
  static constexpr const char* name = "cosine_similarity";
};
struct BinaryCrossentropyMetric : DenseMean {
  static constexpr const char* name = "binary_crossentropy";
};
struct CategoricalCrossentropyMetric : DenseMean {
  static constexpr const char* name = "categorical_crossentropy";
};
struct SparseCategoricalCrossentropyMetric : LabelMean {
  static constexpr const char* name = "sparse_categorical_crossentropy";
};
struct PearsonCorrelation : DenseMean {
  static constexpr const char* name = "pearson_correlation";
};
struct ConcordanceCorrelation : DenseMean {
  static constexpr const char* name = "concordance_correlation";
};
struct Pinball : DenseMean {
  static constexpr const char* name = "pinball";
};
struct IntervalCoverage : DenseMean {  // ends are two blocks of outputs
  static constexpr const char* name = "interval_coverage";
};
struct IntervalWidth : DenseMean {
  static constexpr const char* name = "interval_width";
};
struct NormalCoverage : DenseMean {  // ends are quantiles of a normal distribution
  static constexpr const char* name = "normal_coverage";
};
struct NormalWidth : DenseMean {
  static constexpr const char* name = "normal_width";
};
struct Predictions : MetricKind<OutputsForm, Targets::none> {  // so that somebody may look at them
  static constexpr const char* name = "predictions";
};
struct R2Sums : MetricKind<UnitSumsForm, Targets::dense> {  // t; t^2; (t - p)^2
  static constexpr const char* name = "r2_sums";
};
struct ClassSums : MetricKind<UnitSumsForm, Targets::either> {  // t where predicted; predicted; t
  static constexpr const char* name = "class_sums";
};
struct ThresholdCounts : MetricKind<HistogramForm, Targets::either> {
  static constexpr const char* name = "threshold_counts";
};
struct ConfusionMatrix : MetricKind<MatrixForm, Targets::either> {
  static constexpr const char* name = "confusion_matrix";
};

using All =
    List<Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
         SparseTopKCategoricalAccuracy, MeanAbsoluteError, MeanSquaredError, MeanAbsolutePercentageError,
         MeanSquaredLogarithmicError, LogCoshError, MeanHinge, MeanSquaredHinge, Poisson, CategoricalHinge,
         KLDivergence, CosineSimilarity, BinaryCrossentropyMetric, CategoricalCrossentropyMetric,
         SparseCategoricalCrossentropyMetric, PearsonCorrelation, ConcordanceCorrelation, Pinball, IntervalCoverage,
         IntervalWidth, NormalCoverage, NormalWidth, Predictions, R2Sums, ClassSums, ThresholdCounts, ConfusionMatrix>;

}  // namespace metric_kinds

using MetricKinds = metric_kinds::All;

// The record of one row, its numbers `stride` apart.
template <class T>
using MetricKernel = void (*)(const Metric&, const MetricRow<T>&, double* record, std::ptrdiff_t stride);

// A metric of a program: what writes its records, [width][rows].
template <class T>
struct MetricOutput {
  MetricKernel<T> kernel;
  Metric settings;
  double* records;
};

}  // namespace evenflow
