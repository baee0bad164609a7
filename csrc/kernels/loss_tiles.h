// The cross-entropy of labels for few classes: a tile of rows at once with a lane for each, so that no maximum or sum
// is taken across lanes. What happens in a lane does not depend on the others, nor on where the row is.
#pragma once

#include "kernels/row_values.h"

namespace evenflow {

template <class V>
struct LossTiles : RowValues<V> {
  using T = scalar_of<V>;
  static constexpr int lanes = V::lanes;

  static bool fit(const SparseCategoricalCrossentropy& loss, const LossRows<T>& in) {
    return in.from_logits && in.units <= lanes && loss.label_smoothing == 0 && loss.ignore_class == no_class &&
           !(of_rows(in.output) && in.output != Output::softmax);
  }

  // Scratch: 2 * padded units.
  static void run(const LossRows<T>& in, T* scratch, int first, int last) {
    alignas(64) T z[lanes * lanes], p[lanes * lanes], labels[lanes], scales[lanes], values[lanes];
    const int units = in.units;
    for (int row = first; row < last; row += lanes) {
      const int rows = smaller(lanes, last - row);
      for (int r = 0; r < lanes; ++r) {
        const int own = row + smaller(r, rows - 1);  // lanes past the last row do it once more
        const T* from = in.z + static_cast<std::ptrdiff_t>(own) * lanes;
        for (int j = 0; j < units; ++j) z[j * lanes + r] = from[j];
        labels[r] = static_cast<T>(in.labels[own]);
        scales[r] = static_cast<T>(in.weights != nullptr ? in.gradient_scale * in.weights[own] : in.gradient_scale);
      }
      slopes(z, p, labels, scales, values, units);
      for (int r = 0; r < rows; ++r) {
        if (in.metric_count > 0) see(in, scratch, p + r, row + r);
        double factor = in.value_scale;
        if (in.weights != nullptr) factor *= in.weights[row + r];
        in.losses[row + r] = static_cast<double>(values[r]) * factor;
        if (in.dz == nullptr) continue;
        T* to = in.dz + static_cast<std::ptrdiff_t>(row + r) * lanes;
        V(0).store(to);
        for (int j = 0; j < units; ++j) to[j] = z[j * lanes + r];
      }
    }
  }

 private:
  // From logits z, [unit][lane], to softmax p, values and slopes, which take the place of z.
  EVENFLOW_INLINE static void slopes(T* z, T* p, const T* labels, const T* scales, T* values, int units) {
    const V label = V::load(labels), scale = V::load(scales);
    V highest = V::load(z), sum(0), own(0);
    for (int j = 1; j < units; ++j) highest = max(highest, V::load(z + j * lanes));
    for (int j = 0; j < units; ++j) {
      const V x = V::load(z + j * lanes), e = exp(x - highest);
      e.store(p + j * lanes);
      sum += e;
      own = select(label == V(static_cast<T>(j)), x, own);
    }
    CategoricalCrossentropyFromLogits<V>{highest, log(sum)}.value(own, V(1)).store(values);
    for (int j = 0; j < units; ++j) {
      const V q = V::load(p + j * lanes) / sum;
      q.store(p + j * lanes);
      ((q - select(label == V(static_cast<T>(j)), V(1), V(0))) * scale).store(z + j * lanes);
    }
  }

  // Metrics see the softmax p, every `lanes`-th of its column, or the logits where the network has them as outputs.
  static void see(const LossRows<T>& in, T* scratch, const T* p, int row) {
    T* const one_hot = scratch + lanes;
    for (int j = 0; j < in.units; ++j) scratch[j] = p[j * lanes];
    if (in.one_hot_labels) {
      V(0).store(one_hot);
      one_hot[in.labels[row]] = 1;
    }
    const T* seen = in.output == Output::softmax ? scratch : in.z + static_cast<std::ptrdiff_t>(row) * lanes;
    in.count({seen, in.one_hot_labels ? one_hot : nullptr, in.labels[row]}, row);
  }
};

}  // namespace evenflow
