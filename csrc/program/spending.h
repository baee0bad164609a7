// What one step does to a parameter.
#pragma once

#include "program/spec.h"

namespace evenflow {

// The rule and the decay that comes first.
struct Spending {
  AnyRule rule;
  Decay decay;
  double rate;
};

inline Spending spending_of(const OptimizerSpec& o, const Moment& at) {
  Spending how{};
  const auto any = [](auto found) { return AnyRule(found); };
  how.rule = std::visit([&](const auto& optimizer) { return optimizer.rule(at, any); }, *o.optimizer);
  how.rate = at.learning_rate;
  (o.coupled ? how.decay.coupled : how.decay.rate) = o.weight_decay * (o.coupled ? 1 : at.learning_rate);
  return how;
}

}  // namespace evenflow
