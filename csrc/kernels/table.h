// Fills the table of one vector type.
#pragma once

#include <type_traits>

#include "kernels/columns.h"
#include "kernels/gemm.h"
#include "kernels/metrics.h"
#include "kernels/noise.h"
#include "kernels/rows.h"
#include "kernels/update.h"

namespace evenflow {

template <class V, class... Rule>
constexpr UpdateKernels<scalar_of<V>, List<Rule...>> update_kernels(List<Rule...>) {
  return {{FlatKernels<V>::template update<Rule>}...};
}

template <class V, class... Kind>
constexpr void fill_metrics(Kernels<scalar_of<V>>& k, List<Kind...>) {
  int i = 0;
  ((k.metrics[i++] = metric_kinds::Records<V>::template record<Kind>), ...);
}

template <class V>
constexpr Kernels<scalar_of<V>> make_kernels(const char* isa) {
  Kernels<scalar_of<V>> k{};
  k.isa = isa;
  k.layout = Layout{V::lanes};
  k.activation_count = Activations::size;
  k.activations = ActivationTable<V, Activations>::rows;
  k.noise_count = Noises::size;
  k.noises = NoiseTable<V, Noises>::rows;
  k.random_words = random_words_of_rows<V>;
  k.spread = RowKernels<V>::spread;
  k.collect = RowKernels<V>::collect;
  k.product = Gemm<V>::product;
  k.transpose = Gemm<V>::transpose;
  k.weight_gradient = Gemm<V>::weight_gradient;
  k.moments = ColumnKernels<V>::moments;
  k.normalizer = ColumnKernels<V>::normalizer;
  k.moving_average = ColumnKernels<V>::moving_average;
  k.normalize_backward = ColumnKernels<V>::normalize_backward;
  k.scale_columns = ColumnKernels<V>::scale_columns;
  k.rescale = ColumnKernels<V>::rescale;
  k.clear_padding = ColumnKernels<V>::clear_padding;
  k.softmax = RowKernels<V>::softmax;
  k.softmax_backward = RowKernels<V>::softmax_backward;
  k.loss = RowKernels<V>::loss;
  fill_metrics<V>(k, MetricKinds());
  k.square_sum = FlatKernels<V>::square_sum;
  k.clip = FlatKernels<V>::clip;
  k.updates = update_kernels<V>(Rules());
  k.multiply_add = FlatKernels<V>::multiply_add;
  return k;
}

}  // namespace evenflow
