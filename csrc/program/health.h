// How healthy a network is: counts of an epoch, by unit and by layer. Whoever owns a panel counts for its units, in the
// order of steps, so that threads change no bit.
#pragma once

#include <string>
#include <vector>

#include "program/plan.h"

namespace evenflow {

constexpr double flat_slope = 0.01;  // a unit is saturated where its activation's slope is smaller

struct Health {
  // What a layer puts out. Means and the sums of squared deviations are of the rows of sampled steps, as are the
  // numbers of those where the slope is flat; a unit is alive once it was not zero in any row of any step.
  struct Output {
    std::string layer;
    bool curved;
    std::vector<double> mean, squares, flat;
    std::vector<unsigned char> alive, alive_panels;
  };
  // Sums over sampled steps of a layer's norms: of the gradient before clipping, of what the step changed, and of the
  // weights before it.
  struct Weights {
    std::string layer;
    double gradient = 0, update = 0, weight = 0;
  };

  int every;  // of so many steps of the optimizer one is sampled, the first of all too
  std::int64_t steps = 0, sampled = 0, rows = 0;
  std::vector<Output> outputs;
  std::vector<Weights> weights;
  std::vector<int> place;  // of each variable in `weights`, -1 if it is not trained

  Health(const Plan& plan, int sample_every) : every(sample_every) {
    for (const Plan::Watched& watched : plan.watched) {
      const std::size_t units = static_cast<std::size_t>(watched.units);
      const std::vector<double> zeros(units);
      const std::size_t panels = static_cast<std::size_t>(plan.layout.panels(watched.units));
      outputs.push_back({watched.layer, watched.curved, zeros, zeros, zeros, std::vector<unsigned char>(units),
                         std::vector<unsigned char>(panels)});
    }
    for (const Variable& v : plan.variables) {
      place.push_back(-1);
      if (!v.trainable) continue;
      const std::string layer = layer_of(v.name.substr(0, v.name.rfind('/')));
      std::size_t i = 0;
      while (i < weights.size() && weights[i].layer != layer) ++i;
      if (i == weights.size()) weights.push_back({layer});
      place.back() = static_cast<int>(i);
    }
  }

  bool samples(std::int64_t step) const { return step % every == 0; }

  // Whether a plan like this one can go on counting here.
  bool fits(const Plan& plan) const {
    const Health other(plan, every);
    bool same =
        other.place == place && other.outputs.size() == outputs.size() && other.weights.size() == weights.size();
    for (std::size_t i = 0; same && i < outputs.size(); ++i)
      same = outputs[i].layer == other.outputs[i].layer && outputs[i].mean.size() == other.outputs[i].mean.size() &&
             outputs[i].alive_panels.size() == other.outputs[i].alive_panels.size();
    for (std::size_t i = 0; same && i < weights.size(); ++i) same = weights[i].layer == other.weights[i].layer;
    return same;
  }
};

}  // namespace evenflow
