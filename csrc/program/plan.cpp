#include "program/plan.h"

#include <algorithm>
#include <new>
#include <stdexcept>

namespace evenflow {

namespace {

std::ptrdiff_t product(std::ptrdiff_t a, std::ptrdiff_t b) {
  std::ptrdiff_t result;
  if (__builtin_mul_overflow(a, b, &result) || result > (std::ptrdiff_t{1} << 50)) throw std::bad_alloc();
  return result;
}

}  // namespace

Plan::Plan(Spec from, Layout lanes, int rows, const Known& known)
    : spec(std::move(from)), layout(lanes), capacity(rows) {
  const auto& activations = known.activations;
  const auto variable = [&](const std::string& name, int inputs, int units, bool trainable, double initial) {
    Variable v{name, inputs, units, trainable};
    v.size = product(layout.padded(units), inputs == 0 ? 1 : inputs);
    v.initial = initial;
    variables.push_back(v);
    return static_cast<int>(variables.size()) - 1;
  };
  const auto index = [&](const std::string& name) {
    return static_cast<int>(std::find(activations.begin(), activations.end(), name) - activations.begin());
  };
  stages.emplace_back();
  stages.back().inputs = stages.back().units = spec.inputs;
  bool open = false;  // the last segment still lacks its activation
  std::uint32_t random_layers = 0;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    switch (layer.kind) {
      case LayerSpec::rescaling:
        if (i != 0)
          throw std::invalid_argument("Program: layer " + std::to_string(i) + " '" + layer.name +
                                      "': expected rescaling only as the first layer");
        rescaling_layer = layer.name;
        factor = layer.factor;
        offset = layer.offset;
        break;
      case LayerSpec::dense: {
        Stage stage;
        stage.inputs = stages.back().units;
        stage.units = layer.units;
        stage.trainable = layer.trainable;
        stage.kernel = variable(layer.name + "/kernel", stage.inputs, stage.units, layer.trainable, 0);
        open = layer.use_bias;
        if (layer.use_bias) {
          Segment segment;
          segment.form = Affine::bias;
          segment.shift = variable(layer.name + "/bias", 0, stage.units, layer.trainable, 0);
          stage.segments.push_back(segment);
        }
        stages.push_back(stage);
        break;
      }
      case LayerSpec::batch_normalization: {
        Segment segment;
        const int units = stages.back().units;
        segment.form = Affine::normalize;
        segment.batch_statistics = layer.trainable;
        segment.momentum = layer.momentum;
        segment.epsilon = layer.epsilon;
        if (layer.scale) segment.scale = variable(layer.name + "/gamma", 0, units, layer.trainable, 1);
        if (layer.center) segment.shift = variable(layer.name + "/beta", 0, units, layer.trainable, 0);
        segment.mean = variable(layer.name + "/moving_mean", 0, units, false, 0);
        segment.variance = variable(layer.name + "/moving_variance", 0, units, false, 1);
        if (layer.trainable && (layer.scale || layer.center)) stages.back().trainable = true;
        stages.back().segments.push_back(segment);
        open = true;
        break;
      }
      case LayerSpec::activation: {
        const bool last = i + 1 == spec.layers.size();
        if (last) output_layer = layer.name;
        if (layer.activation_name == "softmax") {
          if (!last)
            throw std::invalid_argument("Program: layer " + std::to_string(i) + " '" + layer.name +
                                        "': expected softmax only as the last layer, received it before '" +
                                        spec.layers[i + 1].name + "'");
          output = Output::softmax;
          break;
        }
        if (last && layer.activation_name == "sigmoid" && spec.loss == Loss::binary_crossentropy && !spec.from_logits) {
          output = Output::sigmoid;
          break;
        }
        auto& segments = stages.back().segments;
        if (!open) segments.emplace_back();
        segments.back().activation = index(layer.activation_name);
        segments.back().parameter = layer.parameter;
        segments.back().activation_layer = layer.name;
        open = false;
        break;
      }
      case LayerSpec::noise: {
        Segment segment;
        segment.noise = layer.random;
        segment.noise.number = random_layers++;
        if (random_layers > Counter::layers)
          throw std::invalid_argument("Program: layer " + std::to_string(i) + " '" + layer.name +
                                      "': expected at most " + std::to_string(Counter::layers) + " random layers");
        if (known.idle_at_zero[static_cast<std::size_t>(layer.random.kind)] && layer.random.parameters[0] == 0) break;
        if (!layer.activation_name.empty()) segment.activation = index(layer.activation_name);
        segment.parameter = layer.parameter;
        segment.activation_layer = layer.name;
        stages.back().segments.push_back(segment);
        open = false;
        break;
      }
    }
  }
  fused_loss = spec.from_logits || output == Output::sigmoid ||
               (output == Output::softmax &&
                (spec.loss == Loss::categorical_crossentropy || spec.loss == Loss::sparse_categorical_crossentropy));

  // parameters: trainable ones first
  for (bool trainable : {true, false}) {
    for (Variable& v : variables)
      if (v.trainable == trainable) {
        v.offset = parameter_size;
        parameter_size += v.size;
      }
    if (trainable) trainable_size = parameter_size;
  }
  if (spec.optimizer.optimizer) {
    const auto& excluded = spec.optimizer.undecayed;
    for (const std::string& name : excluded)
      if (find(name) < 0)
        throw std::invalid_argument("Program: optimizer: undecayed: there is no variable '" + name + "'");
    for (Variable& v : variables)
      v.decays = v.trainable && std::find(excluded.begin(), excluded.end(), v.name) == excluded.end();
    std::visit(
        [&](const auto& optimizer) {
          optimizer.rule(Moment{0, 1, 0}, [&](auto rule) {
            for (int s = 0; s < rule.slots; ++s) slots.emplace_back(rule.slot_names[s]);
          });
        },
        *spec.optimizer.optimizer);
  }

  // activations: an operation works in place unless the backward pass needs its input
  const auto take = [&](int units) {
    const std::ptrdiff_t at = activation_size;
    activation_size += product(layout.padded(units), capacity);
    return at;
  };
  lowest = noisy = static_cast<int>(stages.size());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    Stage& stage = stages[s];
    std::ptrdiff_t at = stage.product = take(stage.units);
    bool kept = false;  // the value at `at` is an activation's output, which its slope may read
    // It does read it, in training; and while random layers are off, when they leave the value where it is.
    bool read = false, read_when_quiet = false;
    Segment* before = nullptr;
    for (Segment& segment : stage.segments) {
      const bool reads_input = known.needs_input[static_cast<std::size_t>(segment.activation)];
      const bool random = segment.noise.kind >= 0, identity = random && segment.activation == 0;
      segment.in = at;
      const bool apart = random ? read || (read_when_quiet && !identity)
                                : kept || read_when_quiet || segment.form == Affine::normalize || reads_input;
      if (apart) at = take(stage.units);
      if (identity && before != nullptr) before->quiet = at;
      segment.out = segment.quiet = at;
      kept = segment.activation != 0;
      read = kept && !reads_input;
      if (!identity) read_when_quiet = read;
      if (random) noisy = std::min(noisy, static_cast<int>(s));
      before = &segment;
    }
    stage.output = at;
    if (stage.trainable) lowest = std::min(lowest, static_cast<int>(s));
    gradient_panel_size = std::max(gradient_panel_size, product(layout.padded(stage.units), capacity));
  }
  for (Stage& stage : stages)
    for (Segment& segment : stage.segments) {
      segment.statistics = activation_size;
      activation_size += 6 * static_cast<std::ptrdiff_t>(layout.padded(stage.units));
    }
}

int Plan::find(const std::string& name) const {
  for (std::size_t i = 0; i < variables.size(); ++i)
    if (variables[i].name == name) return static_cast<int>(i);
  return -1;
}

}  // namespace evenflow
