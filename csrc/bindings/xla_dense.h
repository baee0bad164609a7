// The fused layer for XLA: y = dropout(f(batch_norm(z))), z = x w + b.
#pragma once

#include "bindings/activation_name.h"
#include "bindings/fused.h"
#include "bindings/xla_call.h"

namespace evenflow {

// What both directions are told.
struct XlaLayer {
  std::size_t activation;
  double parameters[most_parameters] = {};
  double epsilon;
  bool biased, normalized, batch;  // batch: with statistics of the batch
  Noise noise;

  explicit XlaLayer(const XlaCall& call)
      : activation(fixed_activation(call.name, "activation", call.text("activation"))),
        epsilon(call.number("epsilon")),
        biased(call.flag("biased")),
        normalized(call.flag("normalized")),
        batch(call.flag("batch")) {
    const auto& k = kernels<float>();
    for (int i = 0; i < k.activations[activation].parameter_count; ++i)
      parameters[i] = call.number(k.activations[activation].parameters[i].name);
    if (const double rate = call.number("rate"); rate > 0) {
      while (std::string(k.noises[++noise.kind].name) != "dropout") continue;
      noise.parameters[0] = rate;
    }
  }
  bool random() const { return noise.kind >= 0; }

  // The rest of the arguments, in their order: gamma, beta, mean, variance, and the two words of a key.
  template <class T>
  void complete(XlaCall& call, int units, bool statistics, Chain<T>& chain) {
    chain.activation = activation;
    chain.parameters = parameters;
    if (normalized) {
      const T *gamma = call.read<T>({units}), *beta = call.read<T>({units}), *mean = nullptr, *variance = nullptr;
      if (statistics) {
        mean = call.read<T>({units});
        variance = call.read<T>({units});
      }
      chain.normalize(gamma, beta, mean, variance, batch, epsilon);
    }
    if (!random()) return;
    const auto* key = call.read<std::uint32_t>({2});
    noise.seed = std::uint64_t{key[0]} << 32 | key[1];
    chain.noise = &noise;
    chain.draw = {noise.seed, 0, 0, 0, 0};
  }
};

// x, w, b, gamma, beta, mean, variance, key to y, z, mean, variance, as far as they are there. Attribute `keeps`: z.
struct XlaForward {
  static constexpr const char* name = "evenflow_dense_bn_act_forward";
  static void run(XlaCall& call) {
    by_type(call, [&](auto type) {
      using T = decltype(type);
      XlaLayer layer(call);
      const int rows = call.size(0, 0), inputs = call.size(0, 1), units = call.size(1, 1);
      const T *x = call.read<T>({rows, inputs}), *w = call.read<T>({inputs, units});
      Chain<T> chain(units);
      if (layer.biased) chain.add_bias(call.read<T>({units}));
      layer.complete(call, units, !layer.batch, chain);
      T* y = call.write<T>({rows, units});
      T* z = call.flag("keeps") ? call.write<T>({rows, units}) : nullptr;
      const Turn turn;
      fused_forward<T>({inputs, units, w, false, nullptr}, x, rows, chain, y, z, turn.threads());
      if (!layer.batch) return;
      std::copy_n(chain.mean.begin(), units, call.write<T>({units}));
      std::copy_n(chain.variance.begin(), units, call.write<T>({units}));
    });
  }
};

// dy, x, w, z, gamma, beta, mean, variance, key to dx, dw, db, dgamma, dbeta. Attribute `input_gradient`: dx.
struct XlaBackward {
  static constexpr const char* name = "evenflow_dense_bn_act_backward";
  static void run(XlaCall& call) {
    by_type(call, [&](auto type) {
      using T = decltype(type);
      XlaLayer layer(call);
      const int rows = call.size(1, 0), inputs = call.size(1, 1), units = call.size(2, 1);
      const T *dy = call.read<T>({rows, units}), *x = call.read<T>({rows, inputs});
      const T *w = call.read<T>({inputs, units}), *z = call.read<T>({rows, units});
      Chain<T> chain(units);
      layer.complete(call, units, true, chain);
      T* dx = call.flag("input_gradient") ? call.write<T>({rows, inputs}) : nullptr;
      T* dw = call.write<T>({inputs, units});
      const Turn turn;
      fused_backward<T>({inputs, units, w, false, nullptr}, dy, x, z, rows, chain, dx, dw, turn.threads());
      if (layer.biased) std::copy_n(chain.dbias.begin(), units, call.write<T>({units}));
      if (!layer.normalized) return;
      std::copy_n(chain.dscale.begin(), units, call.write<T>({units}));
      std::copy_n(chain.dshift.begin(), units, call.write<T>({units}));
    });
  }
};

}  // namespace evenflow
