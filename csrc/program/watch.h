// What a step counts for a Health while a panel or a block is in cache.
#pragma once

#include "program/step.h"

namespace evenflow {

constexpr int most_width = 32;  // of a panel: two vectors of 16

template <class T>
void Program<T>::Step::watch(int place, const Segment* s, const T* y, const Stage& stage, int panel, int width,
                             bool batch) const {
  Health::Output& seen = health->outputs[static_cast<std::size_t>(place)];
  unsigned char& all_alive = seen.alive_panels[static_cast<std::size_t>(panel)];
  if (all_alive != 0 && !samples) return;
  const int first = panel * plan.layout.full(), valid = std::min(width, stage.units - first);
  T found[2][most_width];
  if (all_alive == 0) {
    unsigned char* alive = seen.alive.data() + first;
    k.alive(found[0], y, rows, width);
    all_alive = 1;
    for (int j = 0; j < valid; ++j) {
      alive[j] |= found[0][j] != 0;
      all_alive &= alive[j];
    }
  }
  if (!samples) return;
  k.moments(found[0], found[1], y, rows, width);
  const double before = static_cast<double>(rows_before), share = rows / (before + rows);
  for (int j = 0; j < valid; ++j) {  // Chan et al. 1979
    double& mean = seen.mean[static_cast<std::size_t>(first + j)];
    const double difference = static_cast<double>(found[0][j]) - mean;
    mean += difference * share;
    seen.squares[static_cast<std::size_t>(first + j)] +=
        rows * static_cast<double>(found[1][j]) + difference * difference * before * share;
  }
  if (s != nullptr && s->activation != 0) count_flat(seen, *s, y, stage, panel, width, valid, batch);
}

// The way back with a gradient of 1 gives the slopes.
template <class T>
void Program<T>::Step::count_flat(Health::Output& seen, const Segment& s, const T* y, const Stage& stage, int panel,
                                  int width, int valid, bool batch) const {
  T slopes[32 * most_width], sums[3][most_width];
  Columns<T> c = columns(s, stage.units, panel, batch);
  c.dlearned = sums[2];
  const T* x = at(s.in, panel);
  for (int row = 0; row < rows; row += 32) {
    const int count = std::min(32, rows - row);
    const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(row) * width;
    std::fill_n(slopes, count * width, T(1));
    k.activations[s.activation].backward[static_cast<int>(s.form)](slopes, x + from, y + from, count, width, c, sums[0],
                                                                   sums[1], s.parameters.data());
    k.flat(sums[0], slopes, count, width, flat_slope);
    for (int j = 0; j < valid; ++j)
      seen.flat[static_cast<std::size_t>(panel * plan.layout.full() + j)] += static_cast<double>(sums[0][j]);
  }
}

template <class T>
void Program<T>::Step::changed(int number, int panel, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  const std::ptrdiff_t at = panel * static_cast<std::ptrdiff_t>(plan.variables.size()) + number;
  if (offset == slice(number, panel)) p.update_sums_[at] = p.weight_sums_[at] = 0;
  p.update_sums_[at] += k.square_distance(p.parameters_ + offset, scratch, n);
  p.weight_sums_[at] += k.square_sum(scratch, n);
}

template <class T>
void Program<T>::note_health(Health& health) const {
  const std::size_t layers = health.weights.size();
  std::vector<double> gradient(layers), update(layers), weight(layers);
  for (std::size_t i = 0; i < plan_.variables.size(); ++i) {
    if (health.place[i] < 0) continue;
    const std::size_t layer = static_cast<std::size_t>(health.place[i]);
    gradient[layer] += panel_sum(square_sums_, i);
    update[layer] += panel_sum(update_sums_, i);
    weight[layer] += panel_sum(weight_sums_, i);
  }
  for (std::size_t layer = 0; layer < layers; ++layer) {
    health.weights[layer].gradient += std::sqrt(gradient[layer]);
    health.weights[layer].update += std::sqrt(update[layer]);
    health.weights[layer].weight += std::sqrt(weight[layer]);
  }
  ++health.sampled;
}

}  // namespace evenflow
