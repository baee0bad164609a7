// How layers become stages: what all of them need of the builder. The layers themselves are in stages.cpp, and those
// that work on ids in id_stages.cpp.
#pragma once

#include <algorithm>
#include <stdexcept>

#include "program/arena.h"
#include "program/plan.h"

namespace evenflow {

struct Plan::Builder {
  Plan& plan;
  const Known& known;
  std::vector<int> stage_of;  // of each layer's value
  std::vector<int> readers;   // of each layer: how many read it, the world included
  std::vector<bool> open;     // of each stage: its last segment still lacks its activation
  std::uint32_t random_layers = 0;

  Builder(Plan& to, const Known& table);
  void watch(Stage& on);

  const LayerSpec& layer(std::size_t i) const { return plan.spec.layers[i]; }
  Stage& stage(int number) { return plan.stages[static_cast<std::size_t>(number)]; }
  [[noreturn]] void refuse(std::size_t i, const std::string& what) const {
    throw std::invalid_argument("Program: layer " + std::to_string(i) + " '" + layer(i).name + "': " + what);
  }
  // Layers that it reads; none: the network's only input.
  std::vector<int> sources(std::size_t i) const {
    if (!layer(i).from.empty() || layer(i).kind == LayerSpec::input || i == 0) return layer(i).from;
    return {static_cast<int>(i) - 1};
  }
  // The output that a layer's value is, and nothing else; -1: none.
  int only_output(std::size_t i) const {
    const auto& outputs = plan.spec.outputs;
    for (std::size_t h = 0; h < outputs.size(); ++h)
      if (outputs[h].layer == static_cast<int>(i) && readers[i] == 1) return static_cast<int>(h);
    return -1;
  }
  Head& head(int number) { return plan.heads[static_cast<std::size_t>(number)]; }
  int stage_read(std::size_t i) const {
    const std::vector<int> from = sources(i);
    return from.empty() ? 0 : stage_of[static_cast<std::size_t>(from[0])];
  }

  void use(int number, std::size_t s) {
    if (number >= 0) plan.variables[static_cast<std::size_t>(number)].stages.push_back(static_cast<int>(s));
  }

  // ---- parts

  int variable(const LayerSpec& l, const std::string& name, int inputs, int units, bool trainable, double initial) {
    if (l.shares >= 0) {
      const int found = plan.find(layer(static_cast<std::size_t>(l.shares)).name + name);
      const Variable* other = found < 0 ? nullptr : &plan.variables[static_cast<std::size_t>(found)];
      if (other == nullptr || other->inputs != inputs || other->units != units || other->trainable != trainable)
        throw std::invalid_argument("Program: layer '" + l.name +
                                    "': shares: expected a layer with the same variable '" + name.substr(1) +
                                    "', received '" + layer(static_cast<std::size_t>(l.shares)).name + "'");
      return found;
    }
    Variable v{l.name + name, inputs, units, trainable};
    v.size = product(plan.layout.padded(units), inputs == 0 ? 1 : inputs);
    v.initial = initial;
    v.dims = inputs == 0 ? std::vector<int>{units} : std::vector<int>{inputs, units};
    plan.variables.push_back(v);
    return static_cast<int>(plan.variables.size()) - 1;
  }
  // A vector of statistics, or one that goes with them: one element for each group.
  int statistic(const LayerSpec& l, const char* name, const Stage& on, const Segment& segment, bool trainable,
                double initial) {
    const int count = segment.groups.count > 0 ? segment.groups.count : on.units;
    const int found = variable(l, name, 0, count, trainable, initial);
    if (l.shape.empty()) return found;
    std::vector<int>& dims = plan.variables[static_cast<std::size_t>(found)].dims;
    dims.clear();
    for (int axis : l.axis) dims.push_back(l.shape[static_cast<std::size_t>(axis) - 1]);
    return found;
  }
  int activation(const std::string& name) const {
    const auto& names = known.activations;
    return static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
  }

  int start(Map map, std::size_t i) {
    Stage made;
    made.map = map;
    made.layer = layer(i).name;
    made.called_again = layer(i).shares >= 0;
    const std::vector<int> from = sources(i);
    for (int source : from) made.from.push_back(stage_of[static_cast<std::size_t>(source)]);
    if (from.empty()) made.from.push_back(0);
    made.inputs = made.units = stage(made.from[0]).units;
    return push(made);
  }
  int push(const Stage& made) {
    plan.stages.push_back(made);
    open.push_back(false);
    return static_cast<int>(plan.stages.size()) - 1;
  }
  int start_gather(int input, const std::string& name) {
    Stage made;
    made.layer = name;
    made.input = input;
    made.inputs = made.units = plan.spec.inputs[static_cast<std::size_t>(input)];
    return push(made);
  }
  // The stage that a column operation goes on: one of its own where it shares variables, which a stage uses once.
  int extended(std::size_t i, bool has_variables = false) {
    const std::vector<int> from = sources(i);
    if (has_variables && layer(i).shares >= 0) return start(Map::same, i);
    const bool alone = from.empty() || readers[static_cast<std::size_t>(from[0])] == 1;
    return alone ? stage_read(i) : start(Map::same, i);
  }

  // ---- layers: each returns the stage that has its value

  int add(std::size_t i);
  int rescaling(std::size_t i);
  int dense(std::size_t i);
  // The kernel [units, inputs] of another layer, which this stage's gradient is added to wherever that is trained.
  int transposed_kernel(std::size_t i, Stage& on);
  int append(int number, const Segment& segment);
  int batch_normalization(std::size_t i);
  int normalization(std::size_t i);
  int row_normalization(std::size_t i);
  int scaling(std::size_t i);
  int activation(std::size_t i);
  int activity_regularization(std::size_t i);
  int noise(std::size_t i);
  int merge(std::size_t i, Map map);
  Regularization::Along norms_along(std::size_t i, const Variable& v) const;
  void regularize(std::size_t i);

  // ---- layers of ids (id_stages.cpp)

  // How many different ids a layer's source gives; raises where it gives no ids.
  int ids_read(std::size_t i, int most);
  int features(std::size_t i, int ids);  // of so many ids in a row
  int table(const LayerSpec& l);
  int embedding(std::size_t i);
  int encoding(std::size_t i);
  int discretization(std::size_t i);
};

}  // namespace evenflow
