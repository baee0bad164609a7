// What steps of an epoch are asked for, and what they add up to.
#pragma once

#include <cstdint>
#include <vector>

#include "program/feed.h"
#include "program/health.h"

namespace evenflow {

// Sums since the first call of an epoch: calls that go on from one another add up to the same bits as one call.
struct Progress {
  double loss = 0;                           // of all outputs, by their weights, and penalties
  std::vector<double> losses;                // of each output by itself
  std::vector<std::vector<double>> metrics;  // the state of each, output by output
  std::int64_t rows = 0, steps = 0, next_step = 0;
  std::vector<double> weights;  // of these rows, for each output: their number, unless they have weights
  double seconds = 0;
  int threads = 1;
  double gradient_norm = 0;
  std::vector<double> gradient_norms;  // of the trainable variables
};

// A setting of each step: one for all, or one per step of the epoch.
struct PerStep {
  const double* values = nullptr;
  bool several = false;

  explicit operator bool() const { return values != nullptr; }
  double operator[](std::int64_t step) const { return values[several ? step : 0]; }
};

// Which steps of an epoch to run.
struct Run {
  int batch_size = 0;
  std::int64_t first_step = 0, max_steps = 0;  // 0: to the end
  double seconds = 0;                          // stop with the first step whose loss comes later
  PerStep learning_rate;
  PerStep momentum;          // in place of the spec's momentum or beta_1
  double* norms = nullptr;   // [step of the epoch][trainable variable]: of the gradients before clipping, if wanted
  Health* health = nullptr;  // counts the steps here, if wanted
  std::vector<const Feed*> weights;       // of rows, for each output; nullptr, or none: all 1
  const double* class_weights = nullptr;  // times those of classes 0, 1, ...; others have 1
  int classes = 0;
  bool training = false;
  const Progress* after = nullptr;  // what the sums go on from

  const Feed* weights_of(std::size_t output) const { return weights.empty() ? nullptr : weights[output]; }
  bool weighted(std::size_t output) const { return weights_of(output) != nullptr || class_weights != nullptr; }
};

}  // namespace evenflow
