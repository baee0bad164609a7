// Fills the table of one vector type.
#pragma once

#include <type_traits>

#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/health.h"
#include "kernels/learned.h"
#include "kernels/losses.h"
#include "kernels/metrics.h"
#include "kernels/noise.h"
#include "kernels/penalties.h"
#include "kernels/row_normalization.h"
#include "kernels/rows.h"
#include "kernels/update.h"

namespace evenflow {

template <class V, class... Rule>
constexpr UpdateKernels<scalar_of<V>, List<Rule...>> update_kernels(List<Rule...>) {
  return {{FlatKernels<V>::template update<Rule>}...};
}

template <class V, class... Loss>
constexpr LossKernels<scalar_of<V>, List<Loss...>> loss_kernels(List<Loss...>) {
  return {{RowLosses<V>::template run<Loss>}...};
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
  k.activation_count = Activations::size + LearnedActivations::size;
  k.activations = ActivationTable<V, Activations, LearnedActivations>::rows;
  k.noise_count = Noises::size;
  k.noises = NoiseTable<V, Noises>::rows;
  k.random_words = random_words_of_rows<V>;
  k.spread = RowKernels<V>::spread;
  k.collect = RowKernels<V>::collect;
  k.product = Gemm<V>::product;
  k.transpose = Gemm<V>::transpose;
  k.weight_gradient = Gemm<V>::weight_gradient;
  k.embed = EmbeddingKernels<V>::forward;
  k.embed_backward = EmbeddingKernels<V>::backward;
  k.moments = ColumnKernels<V>::moments;
  k.normalizer = ColumnKernels<V>::normalizer;
  k.standardizer = ColumnKernels<V>::standardizer;
  k.moving_average = ColumnKernels<V>::moving_average;
  k.normalize_backward = ColumnKernels<V>::normalize_backward;
  k.scale_columns = ColumnKernels<V>::scale_columns;
  k.rescale = ColumnKernels<V>::rescale;
  k.add = ColumnKernels<V>::add;
  k.multiply = ColumnKernels<V>::multiply;
  k.clear_padding = ColumnKernels<V>::clear_padding;
  k.alive = HealthKernels<V>::alive;
  k.flat = HealthKernels<V>::flat;
  k.output_forward = RowKernels<V>::output_forward;
  k.output_backward = RowKernels<V>::output_backward;
  k.normalize_rows = RowNormalization<V>::forward;
  k.normalize_rows_backward = RowNormalization<V>::backward;
  k.losses = loss_kernels<V>(Losses());
  fill_metrics<V>(k, MetricKinds());
  k.square_sum = FlatKernels<V>::square_sum;
  k.square_distance = FlatKernels<V>::square_distance;
  k.clip = FlatKernels<V>::clip;
  k.penalize = PenaltyKernels<V>::penalize;
  k.unit_columns = PenaltyKernels<V>::unit_columns;
  k.pair_signs = PenaltyKernels<V>::pair_signs;
  k.through_unit_columns = PenaltyKernels<V>::through_unit_columns;
  k.soft_threshold = PenaltyKernels<V>::soft_threshold;
  k.keep_nonnegative = PenaltyKernels<V>::keep_nonnegative;
  k.limit_norms = PenaltyKernels<V>::limit_norms;
  k.limit_norm = PenaltyKernels<V>::limit_norm;
  k.limit_row_norms = PenaltyKernels<V>::limit_row_norms;
  k.updates = update_kernels<V>(Rules());
  k.follow = FlatKernels<V>::follow;
  k.accumulate = FlatKernels<V>::accumulate;
  k.multiply_add = FlatKernels<V>::multiply_add;
  return k;
}

}  // namespace evenflow
