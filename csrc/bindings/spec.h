// A Python spec, checked and turned into a Spec.
#pragma once

#include "bindings/names.h"
#include "bindings/noise.h"
#include "program/spec.h"

namespace evenflow {

// What a layer gives for each row of so many ids; of other layers, the same number.
int features_of_ids(const LayerSpec& layer, int ids);

class SpecReader {
 public:
  // What the caller gave, as it stays when the caller changes it.
  static py::dict copy(const py::object& data) {
    if (!py::isinstance<py::dict>(data))
      refuse_type("Program", "spec", "a dict, such as spec() of a model returns",
                  "a " + text(py::type::handle_of(data).attr("__name__")));
    return py::module_::import("copy").attr("deepcopy")(data);
  }
  static Spec read(const py::dict& data) {
    Spec spec;
    SpecReader top("Program: spec", data);
    spec.inputs = top.numbers("inputs");
    if (spec.inputs.empty()) refuse(top.where_, "inputs", "at least one number", "none");
    const auto layers = top.need<py::sequence>("layers", "a list");
    std::vector<std::string> names;
    for (const auto& entry : layers) {
      if (!py::isinstance<py::dict>(entry)) refuse_type("Program", "spec", "a dict for every layer", text(entry));
      const SpecReader in("Program: layer " + std::to_string(names.size()), py::reinterpret_borrow<py::dict>(entry));
      spec.layers.push_back(layer(in));
      in.sources(spec, names);
      in.shares(spec, names);
      in.transposes(spec, names);
      names.push_back(spec.layers.back().name);
    }
    if (spec.inputs.size() > 1 && (spec.layers.empty() || spec.layers[0].kind != LayerSpec::input))
      refuse("Program: spec", "layers", "an input layer first where there are several inputs", "another");
    outputs(top, spec, names);
    if (!top.missing("optimizer")) spec.optimizer = optimizer(top.need<py::dict>("optimizer", "a dict"));
    return spec;
  }

  // A metric of `units` outputs: the name of its kind, or a dict with settings.
  static MetricSpec metric(const std::string& where, const py::handle& entry, int units);
  static void outputs(const SpecReader& in, MetricSpec& metric, int units);
  static void classes(const SpecReader& in, Metric& m);

  // A loss by the name of `where`'s argument "kind", with the hyper-parameters beside it.
  static AnyLoss loss(const std::string& where, const py::dict& data) {
    const SpecReader in(where, data);
    const AnyLoss found = in.any_loss(Losses());
    std::vector<std::string> known{"kind"};
    std::visit([&](const auto& loss) { loss.each(loss, [&](const char* key, auto&&...) { known.emplace_back(key); }); },
               found);
    for (const auto& entry : data) index_of(where, "parameters", text(entry.first), known);
    return found;
  }

 private:
  SpecReader(std::string where, py::dict data) : where_(std::move(where)), data_(std::move(data)) {}

  bool missing(const char* key) const { return !data_.contains(key) || data_[key].is_none(); }
  template <class R>
  R need(const char* key, const char* expected) const {
    if (!data_.contains(key)) refuse(where_, key, expected, "nothing");
    try {
      return data_[key].template cast<R>();
    } catch (const py::cast_error&) {
      refuse_type(where_, key, expected, text(py::repr(data_[key])));
    }
  }
  int whole(const char* key, int lowest) const {
    const auto value = need<std::int64_t>(key, "a whole number");
    if (value < lowest || value > (1 << 30))
      refuse(where_, key, "a whole number from " + std::to_string(lowest) + " to 2^30", std::to_string(value));
    return static_cast<int>(value);
  }
  double number(const char* key, double lowest, double highest) const {
    const double value = need<double>(key, "a number");
    if (!(value >= lowest && value <= highest))
      refuse(where_, key, range_text({lowest, highest}), text(py::repr(data_[key])));
    return value;
  }
  std::string string(const char* key) const { return need<std::string>(key, "a string"); }
  bool flag(const char* key, bool otherwise) const { return missing(key) ? otherwise : need<bool>(key, "a bool"); }

  // A number of at least 1, or a list of them.
  std::vector<int> numbers(const char* key) const {
    const auto given = need<py::object>(key, "a whole number or a list of them");
    if (!py::isinstance<py::sequence>(given)) return {whole(key, 1)};
    std::vector<int> found;
    for (const auto& entry : given.cast<py::sequence>()) {
      py::dict one;
      one[key] = entry;
      found.push_back(SpecReader(where_, one).whole(key, 1));
    }
    return found;
  }

  // Layers that make or read ids.
  static void of_ids(const SpecReader& in, LayerSpec& layer);
  std::vector<double> ascending(const char* key) const;

  // What the last layer of `spec` reads, by the names of the layers before it.
  void sources(Spec& spec, const std::vector<std::string>& names) const {
    LayerSpec& layer = spec.layers.back();
    if (layer.kind == LayerSpec::input) {
      layer.number = missing("input") ? 0 : whole("input", 0);
      if (layer.number >= static_cast<int>(spec.inputs.size()))
        refuse(where_, "input", "less than " + std::to_string(spec.inputs.size()), std::to_string(layer.number));
      return;
    }
    if (missing("inputs")) return;
    for (const auto& name : need<py::sequence>("inputs", "a list of names of earlier layers"))
      layer.from.push_back(static_cast<int>(index_of(where_, "inputs", text(name), names)));
    const bool merges =
        layer.kind == LayerSpec::add || layer.kind == LayerSpec::multiply || layer.kind == LayerSpec::concatenate;
    if (!merges && layer.from.size() != 1) refuse(where_, "inputs", "one name", std::to_string(layer.from.size()));
  }

  // The outputs that "outputs" lists, each with the layer that gives it; else the last layer's, with what is said at
  // the top.
  static void outputs(const SpecReader& top, Spec& spec, const std::vector<std::string>& names) {
    const std::vector<int> units = units_of(spec);
    if (top.missing("outputs")) {
      spec.outputs.push_back(top.output(static_cast<int>(names.size()) - 1, units));
      return;
    }
    for (const auto& entry : top.need<py::sequence>("outputs", "a list")) {
      const std::string where = "Program: output " + std::to_string(spec.outputs.size());
      if (!py::isinstance<py::dict>(entry)) refuse_type("Program", "outputs", "a dict for every output", text(entry));
      const SpecReader in(where, py::reinterpret_borrow<py::dict>(entry));
      spec.outputs.push_back(in.output(static_cast<int>(index_of(where, "layer", in.string("layer"), names)), units));
    }
    if (spec.outputs.empty()) refuse(top.where_, "outputs", "at least one output", "none");
  }

  OutputSpec output(int layer, const std::vector<int>& units_of_layers) const {
    OutputSpec out;
    out.layer = layer;
    const int units = units_of_layers[static_cast<std::size_t>(layer + 1)];
    if (!missing("loss")) {
      const SpecReader in("Program: loss", need<py::dict>("loss", "a dict"));
      LossSpec& loss = out.loss.emplace();
      loss.loss = in.any_loss(Losses());
      loss.from_logits = in.flag("from_logits", false) && loss.absorbs() != Output::plain;
      if (!in.missing("reduction"))
        loss.reduction = static_cast<Reduction>(
            index_of(in.where_, "reduction", in.string("reduction"), {"mean", "sum", "mean_with_sample_weight"}));
      Fill{in}("weight", loss.weight, nonnegative);
    }
    if (!missing("metrics"))
      for (const auto& entry : need<py::sequence>("metrics", "a list"))
        out.metrics.push_back(metric("Program: metrics", entry, units));
    check_metrics(out, units);
    return out;
  }

  static void check_metrics(const OutputSpec& out, int units) {
    const bool sparse = out.loss && out.loss->labels();
    const std::int64_t ignored = out.loss ? out.loss->ignore_class() : no_class;
    const bool no_output = ignored != no_class && (ignored < 0 || ignored >= units);
    for (const MetricSpec& metric : out.metrics) {
      const std::string name = metric.traits().name;
      const bool any_target = metric.sees_predictions();
      const int blocks = metric.settings.blocks,
                expected = any_target || !out.loss ? 1 : out.loss->outputs_per_target();
      if (blocks != expected)
        refuse("Program", "metrics", "outputs in blocks as the loss has them, " + std::to_string(expected),
               "'" + name + "' with " + std::to_string(blocks));
      if (any_target) continue;
      if (out.loss && metric.traits().targets == (sparse ? Targets::dense : Targets::labels))
        refuse("Program", "metrics", sparse ? "metrics of labels beside a sparse loss" : "metrics of dense targets",
               "'" + name + "'");
      if (no_output && name != metric_kinds::SparseCategoricalAccuracy::name)
        refuse("Program", "metrics", "only accuracy beside an ignore_class that no output stands for",
               "'" + name + "'");
    }
  }

  // Whose variables the last layer of `spec` uses, if not its own.
  void shares(Spec& spec, const std::vector<std::string>& names) const {
    if (missing("shares")) return;
    LayerSpec& layer = spec.layers.back();
    layer.shares = static_cast<int>(index_of(where_, "shares", string("shares"), names));
    const LayerSpec& first = spec.layers[static_cast<std::size_t>(layer.shares)];
    if (first.kind != layer.kind || first.shares >= 0 || first.learned != layer.learned)
      refuse(where_, "shares", "a layer of the same kind with variables of its own", "'" + first.name + "'");
  }

  // Whose kernel the last layer of `spec` uses transposed.
  void transposes(Spec& spec, const std::vector<std::string>& names) const {
    if (missing("transposes")) return;
    LayerSpec& layer = spec.layers.back();
    layer.transposes = static_cast<int>(index_of(where_, "transposes", string("transposes"), names));
    const auto other = [&](int number) -> const LayerSpec& { return spec.layers[static_cast<std::size_t>(number)]; };
    const bool same = layer.shares < 0 || other(layer.shares).transposes == layer.transposes;
    if (layer.kind != LayerSpec::dense || other(layer.transposes).kind != LayerSpec::dense || !same)
      refuse(where_, "transposes", "in a dense layer, the name of one, the same in every call", string("transposes"));
  }

  // Units of the input, and of each layer.
  static std::vector<int> units_of(const Spec& spec) {
    std::vector<int> units{spec.inputs[0]};
    for (const LayerSpec& layer : spec.layers) {
      const auto of = [&](int source) { return units[static_cast<std::size_t>(source) + 1]; };
      int own = layer.kind == LayerSpec::input ? spec.inputs[static_cast<std::size_t>(layer.number)]
                : !layer.from.empty()          ? of(layer.from[0])
                                               : units.back();
      if (layer.kind == LayerSpec::dense) own = layer.units;
      own = features_of_ids(layer, own);
      if (layer.kind == LayerSpec::concatenate)
        for (std::size_t i = 1; i < layer.from.size(); ++i) own += of(layer.from[i]);
      units.push_back(own);
    }
    return units;
  }

  static LayerSpec layer(const SpecReader& in) {
    LayerSpec layer{};
    layer.kind = static_cast<LayerSpec::Kind>(
        index_of(in.where_, "kind", in.string("kind"),
                 {"rescaling", "dense", "batch_normalization", "activation", "normalization", "layer_normalization",
                  "rms_normalization", "scaling", "activity_regularization", "noise", "input", "add", "multiply",
                  "concatenate", "embedding", "category_encoding", "discretization"}));
    layer.name = in.string("name");
    layer.trainable = in.flag("trainable", false);
    constexpr double huge = 1e300;
    switch (layer.kind) {
      case LayerSpec::dense:
        layer.units = in.whole("units", 1);
        layer.use_bias = in.flag("use_bias", true);
        layer.trainable = in.flag("trainable", true);
        break;
      case LayerSpec::batch_normalization:
        layer.momentum = in.number("momentum", 0, 1);
        layer.epsilon = in.number("epsilon", 0, huge);
        layer.center = in.flag("center", true);
        layer.scale = in.flag("scale", true);
        layer.unbiased_variance = in.flag("unbiased_variance", false);
        layer.trainable = in.flag("trainable", true);
        axes(in, layer);
        break;
      case LayerSpec::normalization:
        layer.invert = in.flag("invert", false);
        layer.trainable = false;
        axes(in, layer);
        break;
      case LayerSpec::layer_normalization:
      case LayerSpec::rms_normalization:
        layer.epsilon = in.number("epsilon", 0, huge);
        layer.center = layer.kind == LayerSpec::layer_normalization && in.flag("center", true);
        layer.scale = in.flag("scale", true);
        layer.trainable = in.flag("trainable", true);
        break;
      case LayerSpec::scaling:
        layer.trainable = in.flag("trainable", true);
        break;
      case LayerSpec::rescaling:
        layer.factor = in.number("scale", -huge, huge);
        layer.offset = in.number("offset", -huge, huge);
        break;
      case LayerSpec::activation:
        activation(in, layer);
        break;
      case LayerSpec::activity_regularization:
        layer.activity = in.penalty();
        break;
      case LayerSpec::noise:
        layer.random = noise_of(in.where_, in.string("noise"),
                                in.missing("parameters") ? py::dict() : in.need<py::dict>("parameters", "a dict"),
                                in.need<py::object>("seed", "a whole number"));
        axes(in, layer);
        layer.random.one_row = in.flag("one_row", false);
        if ((!layer.shape.empty() || layer.random.one_row) && !shares_numbers(layer.random))
          refuse(in.where_, "shape", "a layer that draws 16 bits, such as dropout", in.string("noise"));
        if (in.string("noise") == "rrelu") {  // what it is where nothing is random
          layer.activation_name = "leaky_relu";
          layer.parameters[0] = (layer.random.parameters[0] + layer.random.parameters[1]) / 2;
        }
        break;
      case LayerSpec::embedding:
      case LayerSpec::category_encoding:
      case LayerSpec::discretization:
        of_ids(in, layer);
        break;
      case LayerSpec::input:
      case LayerSpec::add:
      case LayerSpec::multiply:
      case LayerSpec::concatenate:
        break;
    }
    regularization(in, layer);
    return layer;
  }

  // Regularizers and constraints.
  Penalty penalty() const;
  std::vector<int> norm_axis() const;
  static void regularization(const SpecReader& in, LayerSpec& layer);

  // What a layer's dict under `key` holds for each of its variables.
  template <class Read>
  void each_variable(const char* key, Read read) const {
    if (missing(key)) return;
    for (const auto& [name, given] : need<py::dict>(key, "a dict")) {
      if (!py::isinstance<py::dict>(given))
        refuse_type(where_, key, "a dict for every variable", text(py::repr(given)));
      read(text(name),
           SpecReader(where_ + ": " + key + " of '" + text(name) + "'", py::reinterpret_borrow<py::dict>(given)));
    }
  }
  // The shape of rows, and in ascending order which of its axes, from 1, have statistics of their own.
  static void axes(const SpecReader& in, LayerSpec& layer) {
    if (in.missing("shape") && in.missing("axis")) return;
    layer.shape = in.numbers("shape");
    layer.axis = in.numbers("axis");
    if (layer.shape.empty()) refuse(in.where_, "shape", "at least one size", "none");
    for (std::size_t i = 0; i < layer.axis.size(); ++i)
      if (layer.axis[i] > static_cast<int>(layer.shape.size()) || (i > 0 && layer.axis[i] <= layer.axis[i - 1]))
        refuse(in.where_, "axis", "ascending numbers from 1 to " + std::to_string(layer.shape.size()),
               std::to_string(layer.axis[i]));
  }

  static void activation(const SpecReader& in, LayerSpec& layer) {
    const auto& k = kernels<float>();
    std::vector<std::string> names;
    for (int i = 0; i < k.activation_count; ++i) names.emplace_back(k.activations[i].name);
    for (Output output : {Output::softmax, Output::log_softmax, Output::sparsemax})
      names.emplace_back(output_names[static_cast<int>(output)]);
    layer.activation_name = in.string("activation");
    const auto index = static_cast<int>(index_of(in.where_, "activation", layer.activation_name, names));
    const py::dict given = in.missing("parameters") ? py::dict() : in.need<py::dict>("parameters", "a dict");
    const ActivationKernel<float> none{};
    const ActivationKernel<float>& own = index < k.activation_count ? k.activations[index] : none;
    for (int i = 0; i < own.parameter_count; ++i)
      layer.parameters[static_cast<std::size_t>(i)] = own.parameters[i].initial;
    for (const auto& [key, value] : given) {
      const int found = parameter_index(own, text(key));
      if (found < 0) refuse(in.where_, "parameters", parameter_text(own, layer.activation_name), text(key));
      const Parameter& parameter = own.parameters[found];
      layer.parameters[static_cast<std::size_t>(found)] =
          SpecReader(in.where_, given).number(parameter.name, parameter.lowest, unbounded);
    }
    if (own.learned == nullptr) return;
    layer.learned = own.learned;
    layer.learned_initial = own.learned_initial;
    layer.shared = in.flag("shared", false);
    layer.trainable = in.flag("trainable", true);
  }

  // Hyper-parameters into an optimizer's members.
  struct Fill {
    const SpecReader& in;
    void operator()(const char* key, double& value, Range range) const {
      if (!in.missing(key)) value = in.number(key, range.lowest, range.highest);
    }
    void operator()(const char* key, bool& value) const { value = in.flag(key, value); }
    void operator()(const char* key, std::int64_t& value) const {
      if (!in.missing(key)) value = in.need<std::int64_t>(key, "a whole number");
    }
    void operator()(const char* key, QuantileLoss::Levels& levels, Range range) const {
      if (in.missing(key)) return;
      const auto given = in.need<std::vector<double>>(key, "a list of numbers");
      if (given.empty() || given.size() > QuantileLoss::most)
        refuse(in.where_, key, "1 to " + std::to_string(QuantileLoss::most) + " numbers", std::to_string(given.size()));
      for (std::size_t i = 0; i < given.size(); ++i) {
        if (!(given[i] >= range.lowest && given[i] <= range.highest))
          refuse(in.where_, key, "numbers between 0 and 1", number_text(given[i]));
        levels.at[i] = given[i];
      }
      levels.count = static_cast<int>(given.size());
    }
  };
  template <class... Loss>
  AnyLoss any_loss(List<Loss...>) const {
    const AnyLoss made[] = {Loss()...};
    AnyLoss found = made[index_of(where_, "kind", string("kind"), {Loss::name...})];
    std::visit([&](auto& loss) { loss.each(loss, Fill{*this}); }, found);
    return found;
  }
  template <class... Optimizer>
  AnyOptimizer any_optimizer(List<Optimizer...>) const {
    const AnyOptimizer made[] = {Optimizer()...};
    AnyOptimizer found = made[index_of(where_, "kind", string("kind"), {Optimizer::name...})];
    std::visit([&](auto& optimizer) { optimizer.each(optimizer, Fill{*this}); }, found);
    return found;
  }

  static OptimizerSpec optimizer(const py::dict& data) {
    const SpecReader in("Program: optimizer", data);
    OptimizerSpec o;
    o.optimizer = in.any_optimizer(Optimizers());
    Fill{in}("weight_decay", o.weight_decay, nonnegative);
    o.coupled = in.flag("coupled", false);
    if (!in.missing("gradient_accumulation_steps")) o.accumulation = in.whole("gradient_accumulation_steps", 2);
    if (in.flag("use_ema", false)) {
      o.ema_momentum = in.missing("ema_momentum") ? 0.99 : in.number("ema_momentum", 0, 1);
      if (!in.missing("ema_overwrite_frequency")) o.ema_overwrite_frequency = in.whole("ema_overwrite_frequency", 1);
    }
    if (!in.missing("learning_rate_factors")) {
      const auto factors = in.need<py::dict>("learning_rate_factors", "a dict");
      for (const auto& [name, value] : factors)
        o.rate_factors.emplace_back(
            text(name),
            SpecReader("Program: optimizer: learning_rate_factors", factors).number(text(name).c_str(), 0, 1e300));
    }
    if (!in.missing("undecayed"))
      for (const auto& name : in.need<py::sequence>("undecayed", "a list")) o.undecayed.push_back(text(name));
    int given = 0;
    const auto clip = [&](const char* key, std::optional<double>& value) {
      if (in.missing(key)) return;
      value = in.number(key, 1e-300, 1e300);
      ++given;
    };
    clip("clipvalue", o.clipvalue);
    clip("clipnorm", o.clipnorm);
    clip("global_clipnorm", o.global_clipnorm);
    if (given > 1)
      refuse(in.where_, "clipnorm", "at most one of clipvalue, clipnorm, global_clipnorm", std::to_string(given));
    return o;
  }

  std::string where_;
  py::dict data_;
};

}  // namespace evenflow

#include "bindings/id_spec.h"
#include "bindings/metric_spec.h"
#include "bindings/penalty_spec.h"
