// Layers folded into stages: a layer is a stage of its own when it maps features or reads several values; a column
// operation goes on the stage it reads, unless others read that value too.
#include "program/builder.h"

namespace evenflow {

namespace {

Output output_of(const std::string& activation) {
  for (Output output : {Output::softmax, Output::log_softmax, Output::sparsemax})
    if (activation == output_names[static_cast<int>(output)]) return output;
  return Output::plain;
}

// Features of rows of a shape share statistics, or random numbers, unless they differ along an axis that has its own.
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

Plan::Builder::Builder(Plan& to, const Known& table) : plan(to), known(table) {
  const std::vector<LayerSpec>& layers = plan.spec.layers;
  readers.resize(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i)
    for (int source : sources(i)) ++readers[static_cast<std::size_t>(source)];
  for (const OutputSpec& output : plan.spec.outputs)
    if (output.layer >= 0) ++readers[static_cast<std::size_t>(output.layer)];
  plan.heads.resize(plan.spec.outputs.size());
  plan.ids.resize(plan.spec.inputs.size());
  if (layers.empty() || layers[0].kind != LayerSpec::input) start_gather(0, "");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (readers[i] == 0) refuse(i, "expected to be read by a later layer, received no reader");
    stage_of.push_back(add(i));
    regularize(i);
  }
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    use(plan.stages[s].kernel, s);
    for (Segment& segment : plan.stages[s].segments) {
      segment.stage = static_cast<int>(s);
      for (int number : {segment.shift, segment.scale, segment.learned}) use(number, s);
    }
  }
  for (std::size_t h = 0; h < plan.heads.size(); ++h) {
    const int layer_of_it = plan.spec.outputs[h].layer;
    Head& head = plan.heads[h];
    head.stage = layer_of_it < 0 ? 0 : stage_of[static_cast<std::size_t>(layer_of_it)];
    if (stage(head.stage).is_output)
      throw std::invalid_argument("Program: outputs: expected different values, received that of stage " +
                                  std::to_string(head.stage) + " twice");
    stage(head.stage).is_output = true;
  }
  for (std::size_t s = 0; s < plan.stages.size(); ++s)
    for (std::size_t p = 0; p < plan.stages[s].from.size(); ++p) {
      std::vector<Stage::Reader>& found = stage(plan.stages[s].from[p]).readers;
      found.push_back({static_cast<int>(s), static_cast<int>(p)});
      plan.branches = plan.branches || !plan.alone(stage(plan.stages[s].from[p]));
    }
  for (Stage& each : plan.stages) watch(each);
}

void Plan::Builder::watch(Stage& on) {
  const std::size_t before = plan.watched.size();
  const auto next = [&](const std::string& name, bool curved) {
    plan.watched.push_back({layer_of(name), on.units, curved});
    return static_cast<int>(plan.watched.size()) - 1;
  };
  for (Segment& segment : on.segments)
    if (segment.activation != 0 && segment.noise.kind < 0) segment.watch = next(segment.activation_layer, true);
  if ((!multiplies(on.map) && on.map != Map::embedding) || plan.watched.size() > before) return;
  const bool biased = !on.segments.empty() && on.segments[0].form == Affine::bias;
  (biased ? on.segments[0].watch : on.watch) = next(on.layer, false);
}

int Plan::Builder::add(std::size_t i) {
  switch (layer(i).kind) {
    case LayerSpec::input:
      return start_gather(layer(i).number, layer(i).name);
    case LayerSpec::rescaling:
      return rescaling(i);
    case LayerSpec::dense:
      return dense(i);
    case LayerSpec::batch_normalization:
      return batch_normalization(i);
    case LayerSpec::normalization:
      return normalization(i);
    case LayerSpec::layer_normalization:
    case LayerSpec::rms_normalization:
      return row_normalization(i);
    case LayerSpec::scaling:
      return scaling(i);
    case LayerSpec::activation:
      return activation(i);
    case LayerSpec::activity_regularization:
      return activity_regularization(i);
    case LayerSpec::noise:
      return noise(i);
    case LayerSpec::add:
      return merge(i, Map::add);
    case LayerSpec::multiply:
      return merge(i, Map::multiply);
    case LayerSpec::concatenate:
      return merge(i, Map::concatenate);
    case LayerSpec::embedding:
      return embedding(i);
    case LayerSpec::category_encoding:
      return encoding(i);
    case LayerSpec::discretization:
      return discretization(i);
  }
  return 0;
}

// As rows are gathered where it comes first, else the affine part of a normalization, with constants.
int Plan::Builder::rescaling(std::size_t i) {
  const int number = extended(i);
  Stage& on = stage(number);
  if (on.map == Map::gather && on.segments.empty() && on.rescaling_layer.empty()) {
    on.rescaling_layer = layer(i).name;
    on.factor = layer(i).factor;
    on.offset = layer(i).offset;
    return number;
  }
  Segment segment;
  segment.form = Affine::normalize;
  segment.source = Statistics::applied;
  segment.rescaling_layer = layer(i).name;
  segment.factor = layer(i).factor;
  segment.offset = layer(i).offset;
  return append(number, segment);
}

int Plan::Builder::dense(std::size_t i) {
  const LayerSpec& l = layer(i);
  const bool transposed = l.transposes >= 0;
  const int number = start(transposed ? Map::transposed : Map::linear, i);
  Stage& on = stage(number);
  on.units = l.units;
  on.trainable = l.trainable;
  on.kernel = transposed ? transposed_kernel(i, on) : variable(l, "/kernel", on.inputs, on.units, l.trainable, 0);
  open[static_cast<std::size_t>(number)] = l.use_bias;
  if (!l.use_bias) return number;
  Segment segment;
  segment.form = Affine::bias;
  segment.shift = variable(l, "/bias", 0, on.units, l.trainable, 0);
  on.segments.push_back(segment);
  return number;
}

int Plan::Builder::transposed_kernel(std::size_t i, Stage& on) {
  const LayerSpec& other = layer(static_cast<std::size_t>(layer(i).transposes));
  const int found = plan.find(other.name + "/kernel");
  const Variable* kernel = found < 0 ? nullptr : &plan.variables[static_cast<std::size_t>(found)];
  if (kernel == nullptr || kernel->inputs != on.units || kernel->units != on.inputs)
    refuse(i, "transposes: expected a dense layer with a kernel of its own [" + std::to_string(on.units) + ", " +
                  std::to_string(on.inputs) + "], received '" + other.name + "'");
  on.trainable = on.trainable || kernel->trainable;
  return found;
}

int Plan::Builder::append(int number, const Segment& segment) {
  stage(number).segments.push_back(segment);
  if (segment.groups.count > 0) stage(number).shared = true;
  open[static_cast<std::size_t>(number)] = true;
  return number;
}

int Plan::Builder::batch_normalization(std::size_t i) {
  const LayerSpec& l = layer(i);
  const int number = extended(i, true);
  Stage& on = stage(number);
  Segment segment;
  segment.form = Affine::normalize;
  segment.groups = groups_of(l, on.units);
  segment.unbiased = l.unbiased_variance;
  segment.batch_statistics = l.trainable;
  segment.momentum = l.momentum;
  segment.epsilon = l.epsilon;
  if (l.scale) segment.scale = statistic(l, "/gamma", on, segment, l.trainable, 1);
  if (l.center) segment.shift = statistic(l, "/beta", on, segment, l.trainable, 0);
  segment.mean = statistic(l, "/moving_mean", on, segment, false, 0);
  segment.variance = statistic(l, "/moving_variance", on, segment, false, 1);
  if (l.trainable && (l.scale || l.center)) on.trainable = true;
  return append(number, segment);
}

int Plan::Builder::normalization(std::size_t i) {
  const LayerSpec& l = layer(i);
  const int number = extended(i, true);
  Stage& on = stage(number);
  Segment segment;
  segment.form = Affine::normalize;
  segment.source = Statistics::given;
  segment.invert = l.invert;
  segment.groups = groups_of(l, on.units);
  // (x - mean) / deviation; inverted: x * deviation + mean
  (l.invert ? segment.shift : segment.mean) = statistic(l, "/mean", on, segment, false, 0);
  segment.variance = statistic(l, "/variance", on, segment, false, 1);
  return append(number, segment);
}

int Plan::Builder::row_normalization(std::size_t i) {
  const LayerSpec& l = layer(i);
  const bool centered = l.kind == LayerSpec::layer_normalization;
  const int number = start(centered ? Map::layer_normalization : Map::rms_normalization, i);
  Stage& on = stage(number);
  on.epsilon = l.epsilon;
  if (!l.scale && !l.center) return number;
  Segment segment;
  segment.form = Affine::normalize;
  segment.source = Statistics::applied;
  if (l.scale) segment.scale = variable(l, centered ? "/gamma" : "/scale", 0, on.units, l.trainable, 1);
  if (l.center) segment.shift = variable(l, "/beta", 0, on.units, l.trainable, 0);
  on.trainable = l.trainable;
  return append(number, segment);
}

// The affine part of a normalization alone.
int Plan::Builder::scaling(std::size_t i) {
  const LayerSpec& l = layer(i);
  const int number = extended(i);
  Stage& on = stage(number);
  Segment segment;
  segment.form = Affine::normalize;
  segment.source = Statistics::applied;
  segment.scale = variable(l, "/scale", 0, on.units, l.trainable, 1);
  on.trainable = on.trainable || l.trainable;
  return append(number, segment);
}

int Plan::Builder::activation(std::size_t i) {
  const LayerSpec& l = layer(i);
  const int output = only_output(i);
  if (output >= 0) head(output).layer = l.name;
  if (const Output found = output_of(l.activation_name); found != Output::plain) {
    if (output < 0) {
      const int number = start(Map::row_activation, i);
      stage(number).row_activation = found;
      return number;
    }
    head(output).output = found;
    return extended(i);
  }
  if (output >= 0 && l.activation_name == "sigmoid") {
    const auto& loss = plan.spec.outputs[static_cast<std::size_t>(output)].loss;
    if (loss && loss->absorbs() == Output::sigmoid && !loss->from_logits) {
      head(output).output = Output::sigmoid;
      return extended(i);
    }
  }
  const int number = extended(i, !l.learned.empty());
  Stage& on = stage(number);
  if (!open[static_cast<std::size_t>(number)]) on.segments.emplace_back();
  Segment& segment = on.segments.back();
  segment.activation = activation(l.activation_name);
  segment.parameters = l.parameters;
  segment.activation_layer = l.name;
  open[static_cast<std::size_t>(number)] = false;
  if (l.learned.empty()) return number;
  segment.shared = l.shared;
  segment.learned = variable(l, "/" + l.learned, 0, l.shared ? 1 : on.units, l.trainable, l.learned_initial);
  on.trainable = on.trainable || l.trainable;
  plan.merges_learned = plan.merges_learned || (l.trainable && l.shared);
  return number;
}

int Plan::Builder::activity_regularization(std::size_t i) {
  const int number = extended(i);
  auto& segments = stage(number).segments;
  if (segments.empty() || segments.back().noise.kind >= 0) segments.emplace_back();
  segments.back().activity.l1 += layer(i).activity.l1;
  segments.back().activity.l2 += layer(i).activity.l2;
  if (segments.back().activity_sum < 0) segments.back().activity_sum = plan.activities++;
  open[static_cast<std::size_t>(number)] = false;
  return number;
}

int Plan::Builder::noise(std::size_t i) {
  const LayerSpec& l = layer(i);
  Segment segment;
  segment.noise = l.random;
  segment.noise.number = random_layers++;
  if (random_layers > Counter::layers)
    refuse(i, "expected at most " + std::to_string(Counter::layers) + " random layers");
  const int number = extended(i);
  const Groups groups = groups_of(l, stage(number).units);
  if (groups.count > 0) {
    segment.noise.groups.assign(groups.of.begin(), groups.of.end());
    segment.noise.groups.resize(static_cast<std::size_t>(plan.layout.padded(stage(number).units)));
  }
  if (known.idle_at_zero[static_cast<std::size_t>(l.random.kind)] && l.random.parameters[0] == 0) return number;
  if (!l.activation_name.empty()) segment.activation = activation(l.activation_name);
  segment.parameters = l.parameters;
  segment.activation_layer = l.name;
  append(number, segment);
  open[static_cast<std::size_t>(number)] = false;
  return number;
}

int Plan::Builder::merge(std::size_t i, Map map) {
  if (sources(i).size() < 2)
    refuse(i, "expected at least 2 layers to read, received " + std::to_string(sources(i).size()));
  const int number = start(map, i);
  Stage& on = stage(number);
  if (map == Map::concatenate) on.inputs = on.units = 0;
  for (int source : on.from) {
    const int units = stage(source).units;
    if (map == Map::concatenate)
      on.inputs = on.units += units;
    else if (units != on.units)
      refuse(i, "expected " + std::to_string(on.units) + " units from every layer, received " + std::to_string(units));
  }
  return number;
}

// A vector's norm is that of all its elements.
Regularization::Along Plan::Builder::norms_along(std::size_t i, const Variable& v) const {
  const int rank = v.inputs > 0 ? 2 : 1;  // also of a table
  std::vector<int> axes;
  for (int axis : v.regularization.axis) {
    const int counted = axis < 0 ? axis + rank : axis;
    if (counted < 0 || counted >= rank || std::find(axes.begin(), axes.end(), counted) != axes.end())
      refuse(i, "constraints: axis: expected " +
                    std::string(rank == 1 ? "0 or -1 for the vector '" : "0, 1 or both for the matrix '") + v.name +
                    "', received " + std::to_string(axis));
    axes.push_back(counted);
  }
  if (rank == 1 || axes.size() == 2) return Regularization::all;
  return axes[0] == 0 ? Regularization::inputs : Regularization::units;
}

void Plan::Builder::regularize(std::size_t i) {
  if (layer(i).shares >= 0) return;
  for (const auto& [name, regularization] : layer(i).regularization) {
    const int number = plan.find(layer(i).name + "/" + name);
    if (number < 0) refuse(i, "regularizers: there is no variable '" + name + "'");
    Variable& v = plan.variables[static_cast<std::size_t>(number)];
    v.regularization = regularization;
    if (regularization.norms) v.regularization.along = norms_along(i, v);
    if (regularization.orthogonal.factor != 0 && !v.is_kernel())
      refuse(i, "regularizers: orthogonal: expected the kernel of a dense layer, received '" + v.name + "'");
    plan.penalized |= v.trainable && regularization.penalized();
    plan.norms_across |= v.trainable && regularization.norms && !v.limits_panels();
  }
}

void Plan::fold(const Known& known) { Builder(*this, known); }

}  // namespace evenflow
