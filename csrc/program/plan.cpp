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

Output output_of(const std::string& activation) {
  for (Output output : {Output::softmax, Output::log_softmax, Output::sparsemax})
    if (activation == output_names[static_cast<int>(output)]) return output;
  return Output::plain;
}

// Features of rows of a shape share statistics unless they differ along an axis that has its own.
Groups groups_of(const LayerSpec& layer, int units) {
  Groups groups;
  if (layer.shape.empty()) return groups;
  std::ptrdiff_t features = 1;
  for (int size : layer.shape) features = product(features, size);
  if (features != units)
    throw std::invalid_argument("Program: layer '" + layer.name + "': shape: expected " + std::to_string(units) +
                                " features, received " + std::to_string(features));
  std::ptrdiff_t count = 1;
  for (int axis : layer.axis) count *= layer.shape[static_cast<std::size_t>(axis) - 1];
  if (count == features) return groups;
  groups.count = static_cast<int>(count);
  for (int feature = 0; feature < units; ++feature) {
    int group = 0, rest = feature, step = units;
    for (std::size_t d = 0; d < layer.shape.size(); ++d) {
      step /= layer.shape[d];
      if (std::find(layer.axis.begin(), layer.axis.end(), static_cast<int>(d) + 1) != layer.axis.end())
        group = group * layer.shape[d] + rest / step;
      rest %= step;
    }
    groups.of.push_back(group);
  }
  std::vector<int> next(static_cast<std::size_t>(count));
  groups.members.resize(static_cast<std::size_t>(units));
  const int size = static_cast<int>(features / count);
  for (int feature = 0; feature < units; ++feature) {
    const int group = groups.of[static_cast<std::size_t>(feature)];
    groups.members[static_cast<std::size_t>(group * size + next[static_cast<std::size_t>(group)]++)] = feature;
  }
  return groups;
}

}  // namespace

Plan::Plan(Spec from, Layout lanes, int rows, const Known& known)
    : spec(std::move(from)), layout(lanes), capacity(rows) {
  const auto& activations = known.activations;
  const auto variable = [&](const std::string& name, int inputs, int units, bool trainable, double initial) {
    Variable v{name, inputs, units, trainable};
    v.size = product(layout.padded(units), inputs == 0 ? 1 : inputs);
    v.initial = initial;
    v.dims = inputs == 0 ? std::vector<int>{units} : std::vector<int>{inputs, units};
    variables.push_back(v);
    return static_cast<int>(variables.size()) - 1;
  };
  const auto index = [&](const std::string& name) {
    return static_cast<int>(std::find(activations.begin(), activations.end(), name) - activations.begin());
  };
  // A vector of statistics, or one that goes with them: one element for each group.
  const auto statistic = [&](const LayerSpec& layer, const char* name, const Segment& segment, bool trainable,
                             double initial) {
    const int count = segment.groups.count > 0 ? segment.groups.count : stages.back().units;
    const int at = variable(layer.name + name, 0, count, trainable, initial);
    if (layer.shape.empty()) return at;
    variables.back().dims.clear();
    for (int axis : layer.axis) variables.back().dims.push_back(layer.shape[static_cast<std::size_t>(axis) - 1]);
    return at;
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
        segment.form = Affine::normalize;
        segment.groups = groups_of(layer, stages.back().units);
        segment.unbiased = layer.unbiased_variance;
        segment.batch_statistics = layer.trainable;
        segment.momentum = layer.momentum;
        segment.epsilon = layer.epsilon;
        if (layer.scale) segment.scale = statistic(layer, "/gamma", segment, layer.trainable, 1);
        if (layer.center) segment.shift = statistic(layer, "/beta", segment, layer.trainable, 0);
        segment.mean = statistic(layer, "/moving_mean", segment, false, 0);
        segment.variance = statistic(layer, "/moving_variance", segment, false, 1);
        if (layer.trainable && (layer.scale || layer.center)) stages.back().trainable = true;
        if (segment.groups.count > 0) stages.back().shared = true;
        stages.back().segments.push_back(segment);
        open = true;
        break;
      }
      case LayerSpec::normalization: {
        Segment segment;
        segment.form = Affine::normalize;
        segment.source = Statistics::given;
        segment.invert = layer.invert;
        segment.groups = groups_of(layer, stages.back().units);
        // (x - mean) / deviation; inverted: x * deviation + mean
        (layer.invert ? segment.shift : segment.mean) = statistic(layer, "/mean", segment, false, 0);
        segment.variance = statistic(layer, "/variance", segment, false, 1);
        if (segment.groups.count > 0) stages.back().shared = true;
        stages.back().segments.push_back(segment);
        open = true;
        break;
      }
      case LayerSpec::layer_normalization:
      case LayerSpec::rms_normalization: {
        const bool centered = layer.kind == LayerSpec::layer_normalization;
        Stage stage;
        stage.inputs = stage.units = stages.back().units;
        stage.row = centered ? RowOperation::layer_normalization : RowOperation::rms_normalization;
        stage.row_layer = layer.name;
        stage.epsilon = layer.epsilon;
        open = layer.scale || layer.center;
        if (open) {
          Segment segment;
          segment.form = Affine::normalize;
          segment.source = Statistics::applied;
          const std::string gamma = layer.name + (centered ? "/gamma" : "/scale");
          if (layer.scale) segment.scale = variable(gamma, 0, stage.units, layer.trainable, 1);
          if (layer.center) segment.shift = variable(layer.name + "/beta", 0, stage.units, layer.trainable, 0);
          stage.trainable = layer.trainable;
          stage.segments.push_back(segment);
        }
        stages.push_back(stage);
        break;
      }
      case LayerSpec::activation: {
        const bool last = i + 1 == spec.layers.size();
        if (last) output_layer = layer.name;
        if (const Output found = output_of(layer.activation_name); found != Output::plain) {
          if (!last)
            throw std::invalid_argument("Program: layer " + std::to_string(i) + " '" + layer.name + "': expected " +
                                        layer.activation_name + " only as the last layer, received it before '" +
                                        spec.layers[i + 1].name + "'");
          output = found;
          break;
        }
        if (last && layer.activation_name == "sigmoid" && spec.loss && spec.loss->absorbs() == Output::sigmoid &&
            !spec.loss->from_logits) {
          output = Output::sigmoid;
          break;
        }
        auto& segments = stages.back().segments;
        if (!open) segments.emplace_back();
        segments.back().activation = index(layer.activation_name);
        segments.back().parameters = layer.parameters;
        segments.back().activation_layer = layer.name;
        if (!layer.learned.empty()) {
          segments.back().shared = layer.shared;
          segments.back().learned =
              variable(layer.name + "/" + layer.learned, 0, layer.shared ? 1 : stages.back().units, layer.trainable,
                       layer.learned_initial);
          if (layer.trainable) stages.back().trainable = true;
          merges_learned = merges_learned || (layer.trainable && layer.shared);
        }
        open = false;
        break;
      }
      case LayerSpec::activity_regularization: {
        auto& segments = stages.back().segments;
        if (segments.empty() || segments.back().noise.kind >= 0) segments.emplace_back();
        segments.back().activity.l1 += layer.activity.l1;
        segments.back().activity.l2 += layer.activity.l2;
        if (segments.back().activity_sum < 0) segments.back().activity_sum = activities++;
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
        segment.parameters = layer.parameters;
        segment.activation_layer = layer.name;
        stages.back().segments.push_back(segment);
        open = false;
        break;
      }
    }
    for (const auto& [name, regularization] : layer.regularization) {
      const int number = find(layer.name + "/" + name);
      if (number < 0)
        throw std::invalid_argument("Program: layer " + std::to_string(i) + " '" + layer.name +
                                    "': regularizers: there is no variable '" + name + "'");
      Variable& v = variables[static_cast<std::size_t>(number)];
      v.regularization = regularization;
      penalized |= v.trainable && regularization.penalty.active();
      vector_norms |= v.trainable && v.inputs == 0 && regularization.norms;
    }
  }
  fused_loss = spec.loss && (spec.loss->from_logits || (output != Output::plain && output == spec.loss->absorbs()));
  if (spec.loss && units() % spec.loss->outputs_per_target() != 0)
    throw std::invalid_argument("Program: loss: expected " + std::to_string(spec.loss->outputs_per_target()) +
                                " outputs for each target, received " + std::to_string(units()) + " in all");

  if (spec.loss && spec.loss->from_logits && of_rows(output) && output != Output::softmax &&
      (output != Output::log_softmax || spec.loss->absorbs() != Output::softmax))
    throw std::invalid_argument(std::string("Program: loss: expected from_logits=False after ") +
                                output_names[static_cast<int>(output)] + ", received True");

  // parameters: trainable ones first
  for (bool trainable : {true, false}) {
    for (Variable& v : variables)
      if (v.trainable == trainable) {
        v.offset = parameter_size;
        parameter_size += v.size;
        trained += trainable;
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
    rule_slots = static_cast<int>(slots.size());
    const auto extra_slot = [&](const char* name) {
      slots.emplace_back(name);
      return static_cast<int>(slots.size()) - 1;
    };
    if (spec.optimizer.ema_momentum) average = extra_slot("average");
    if (spec.optimizer.accumulation > 1) accumulator = extra_slot("gradient_accumulator");
    for (const auto& [name, of_rate] : spec.optimizer.rate_factors) {
      const int number = find(name);
      if (number < 0)
        throw std::invalid_argument("Program: optimizer: learning_rate_factors: there is no variable '" + name + "'");
      const auto found = std::find(rates.begin(), rates.end(), of_rate);
      variables[static_cast<std::size_t>(number)].rate = static_cast<int>(found - rates.begin());
      if (found == rates.end()) rates.push_back(of_rate);
    }
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
    // The value at `at` is read again: by the row operation's way back, or by the slope of the activation it came from.
    bool kept = stage.row != RowOperation::none;
    // It surely is, in training; and while random layers are off, when they leave the value where it is.
    bool read = kept, read_when_quiet = kept;
    Segment* before = nullptr;
    if (stage.row != RowOperation::none) {
      stage.inverses = activation_size;
      activation_size += product(layout.padded(capacity), 1);
    }
    for (Segment& segment : stage.segments) {
      const bool reads_input = known.needs_input[static_cast<std::size_t>(segment.activation)];
      const bool random = segment.noise.kind >= 0, identity = random && segment.activation == 0;
      segment.in = at;
      const bool apart = random ? read || (read_when_quiet && !identity)
                                : kept || read_when_quiet || segment.form == Affine::normalize || reads_input;
      if (apart) at = take(stage.units);
      if (identity && before != nullptr) before->quiet = at;
      segment.left_out = identity && (before != nullptr || !apart);
      segment.out = segment.quiet = at;
      kept = segment.activation != 0 || segment.activity.active();
      read = (segment.activation != 0 && !reads_input) || segment.activity.active();
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
      const bool shared = segment.groups.count > 0;
      activation_size += (shared ? 8 : 6) * static_cast<std::ptrdiff_t>(layout.padded(stage.units));
      if (shared) activation_size += 4 * static_cast<std::ptrdiff_t>(layout.padded(segment.groups.count));
      segment.learned_columns = activation_size;
      if (segment.learned >= 0) activation_size += 2 * static_cast<std::ptrdiff_t>(layout.padded(stage.units));
    }
}

int Plan::target_columns() const {
  if (!spec.loss) return units();
  return spec.loss->labels() ? 1 : units() / spec.loss->outputs_per_target();
}

int Plan::find(const std::string& name) const {
  for (std::size_t i = 0; i < variables.size(); ++i)
    if (variables[i].name == name) return static_cast<int>(i);
  return -1;
}

}  // namespace evenflow
