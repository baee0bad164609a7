// Optimizers as users name them: hyper-parameters with defaults and ranges, and the update rule of a step that follows
// from them. Everything that depends on the step is computed here in double, on the host, so that one rule serves all.
// Members are hyper-parameters; each(visit) calls visit(name, member, range) for all of them.
#pragma once

#include "math/updates.h"

namespace evenflow {

struct Range {
  double lowest, highest;
};
constexpr Range share{0, 1};
constexpr Range decay_rate{0, 1 - 1e-15};
constexpr Range nonnegative{0, 1e300};
// Smaller ones, or their products with a bias correction, would vanish in float: 0 / 0 where no gradient ever was.
constexpr Range denominator{1e-30, 1e300};

// What a step tells its rule: its number t = 1, 2, ..., the product of Momenta, and the momentum or beta_1 that stands
// in place of the optimizer's; Adam's corrections are those of an optimizer that had it from the first step on.
struct Moment {
  double learning_rate, t, momenta;
  const double* momentum = nullptr;

  double kept(double own) const { return momentum == nullptr ? own : *momentum; }
};

// Where PyTorch's arithmetic differs from Keras', a member `torch` asks for it.
struct OptimizerDefaults {
  static constexpr bool momentum_changes = false;  // else momentum_share(t) is the part of beta_1 that step t uses
  const Range* momentum_range() const { return nullptr; }  // of Moment::momentum
  double initial_slot() const { return 0; }
};

struct SgdOptimizer : OptimizerDefaults {
  static constexpr const char* name = "sgd";
  double momentum = 0;
  bool nesterov = false, torch = false;
  double dampening = 0;  // PyTorch's

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("momentum", self.momentum, share);
    visit("nesterov", self.nesterov);
    visit("torch", self.torch);
    visit("dampening", self.dampening, share);
  }
  const Range* momentum_range() const { return momentum == 0 ? nullptr : &share; }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    if (momentum == 0) return use(Sgd{at.learning_rate});
    const double kept = at.kept(momentum);
    const double taken = torch ? (at.t > 1 ? 1 - dampening : 1) : -at.learning_rate;
    const double step = torch ? -at.learning_rate : 1;
    if (nesterov) return use(Nesterov{kept, taken, step});
    return use(Momentum{kept, taken, step});
  }
};

struct AdamOptimizer : OptimizerDefaults {
  static constexpr const char* name = "adam";
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false, torch = false;

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("beta_1", self.beta_1, decay_rate);
    visit("beta_2", self.beta_2, decay_rate);
    visit("epsilon", self.epsilon, denominator);
    visit("amsgrad", self.amsgrad);
    visit("torch", self.torch);
  }
  const Range* momentum_range() const { return &decay_rate; }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    const double kept = at.kept(beta_1);
    const double correction = std::sqrt(1 - std::pow(beta_2, at.t)), hat = torch ? epsilon * correction : epsilon;
    const double step = at.learning_rate * correction / (1 - std::pow(kept, at.t));
    if (amsgrad) return use(Amsgrad{kept, beta_2, hat, step});
    return use(Adam{kept, beta_2, hat, step});
  }
};

// The momentum of step t is beta_1 * (1 - 0.96^(t * momentum_decay) / 2): Keras has momentum_decay = 1, PyTorch 0.004.
struct NadamOptimizer : OptimizerDefaults {
  static constexpr const char* name = "nadam";
  static constexpr bool momentum_changes = true;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7, momentum_decay = 1;

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("beta_1", self.beta_1, decay_rate);
    visit("beta_2", self.beta_2, decay_rate);
    visit("epsilon", self.epsilon, denominator);
    visit("momentum_decay", self.momentum_decay, nonnegative);
  }
  const Range* momentum_range() const { return &decay_rate; }
  double momentum_share(double t) const { return 1 - 0.5 * std::pow(0.96, t * momentum_decay); }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    const double kept = at.kept(beta_1), product = at.momenta;
    const double next = kept * momentum_share(at.t + 1), correction = std::sqrt(1 - std::pow(beta_2, at.t));
    const double size = at.learning_rate * correction;
    return use(Nadam{kept, beta_2, epsilon * correction, size * next / (1 - product * next),
                     size * (1 - kept * momentum_share(at.t)) / (1 - product)});
  }
};

struct AdamaxOptimizer : OptimizerDefaults {
  static constexpr const char* name = "adamax";
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool torch = false;

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("beta_1", self.beta_1, decay_rate);
    visit("beta_2", self.beta_2, decay_rate);
    visit("epsilon", self.epsilon, denominator);
    visit("torch", self.torch);
  }
  const Range* momentum_range() const { return &decay_rate; }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    const double kept = at.kept(beta_1), step = at.learning_rate / (1 - std::pow(kept, at.t));
    if (torch) return use(TorchAdamax{kept, beta_2, epsilon, step});
    return use(Adamax{kept, beta_2, epsilon, step});
  }
};

struct AdagradOptimizer : OptimizerDefaults {
  static constexpr const char* name = "adagrad";
  double initial_accumulator_value = 0.1, epsilon = 1e-7;
  bool torch = false;
  double lr_decay = 0;  // PyTorch's

  double initial_slot() const { return initial_accumulator_value; }
  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("initial_accumulator_value", self.initial_accumulator_value, nonnegative);
    visit("epsilon", self.epsilon, denominator);
    visit("torch", self.torch);
    visit("lr_decay", self.lr_decay, nonnegative);
  }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    return use(Adagrad{torch ? 0 : epsilon, torch ? epsilon : 0, at.learning_rate / (1 + (at.t - 1) * lr_decay)});
  }
};

struct AdadeltaOptimizer : OptimizerDefaults {
  static constexpr const char* name = "adadelta";
  double rho = 0.95, epsilon = 1e-7;

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("rho", self.rho, decay_rate);
    visit("epsilon", self.epsilon, denominator);
  }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    return use(Adadelta{rho, epsilon, at.learning_rate});
  }
};

struct RmspropOptimizer : OptimizerDefaults {
  static constexpr const char* name = "rmsprop";
  double rho = 0.9, momentum = 0, epsilon = 1e-7;
  bool centered = false, torch = false;

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("rho", self.rho, decay_rate);
    visit("momentum", self.momentum, share);
    visit("epsilon", self.epsilon, denominator);
    visit("centered", self.centered);
    visit("torch", self.torch);
  }
  const Range* momentum_range() const { return momentum == 0 ? nullptr : &share; }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    const Rmsprop plain{rho, torch ? 0 : epsilon, torch ? epsilon : 0, at.learning_rate};
    const double kept = at.kept(momentum), taken = torch ? 1 : at.learning_rate, step = torch ? at.learning_rate : 1;
    if (centered && momentum != 0) return use(RmspropCenteredMomentum{plain, kept, taken, step});
    if (centered) return use(RmspropCentered{plain});
    if (momentum != 0) return use(RmspropMomentum{plain, kept, taken, step});
    return use(plain);
  }
};

struct LionOptimizer : OptimizerDefaults {
  static constexpr const char* name = "lion";
  double beta_1 = 0.9, beta_2 = 0.99;

  template <class Self, class Visit>
  static void each(Self& self, const Visit& visit) {
    visit("beta_1", self.beta_1, decay_rate);
    visit("beta_2", self.beta_2, decay_rate);
  }
  template <class Use>
  auto rule(const Moment& at, Use use) const {
    return use(Lion{beta_1, beta_2, at.learning_rate});
  }
};

// The only registry: what a spec may name, and the variant that holds it, are folds over it.
using Optimizers = List<SgdOptimizer, AdamOptimizer, NadamOptimizer, AdamaxOptimizer, AdagradOptimizer,
                        AdadeltaOptimizer, RmspropOptimizer, LionOptimizer>;

// The product of the momenta that the steps of an optimizer had, continued from the last step asked for. After a jump,
// all steps before are taken to have had the optimizer's own beta_1.
class Momenta {
 public:
  Momenta() = default;
  Momenta(std::int64_t step, double product) : step_(step), product_(product) {}

  // Until a step, which has this momentum in place of the optimizer's unless it is nullptr.
  template <class Optimizer>
  double until(const Optimizer& optimizer, std::int64_t step, const double* momentum) {
    if constexpr (Optimizer::momentum_changes) {
      if (step != step_ + 1) *this = Momenta();
      double part = 0;                            // grows to 1
      while (step_ < step && product_ > 1e-30) {  // 1 - product does not notice a smaller one
        ++step_;
        if (part != 1) part = optimizer.momentum_share(static_cast<double>(step_));
        product_ *= (momentum != nullptr && step_ == step ? *momentum : optimizer.beta_1) * part;
      }
      step_ = step;
    }
    return product_;
  }
  std::int64_t step() const { return step_; }
  double product() const { return product_; }

 private:
  std::int64_t step_ = 0;
  double product_ = 1;
};

}  // namespace evenflow
