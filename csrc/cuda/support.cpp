#include "cuda/support.h"

#include <stdexcept>

namespace evenflow::cuda {

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument(
      "Program: device 'cuda': expected a chain of dense layers, batch normalization, "
      "activations and random layers, received " +
      what + ", which only the CPU runs");
}

// Layers that no chain has room for, by their own words.
void refuse_layer(const Stage& stage) {
  const std::string name = "'" + stage.layer + "'";
  if (stage.map == Map::transposed) refuse("a kernel in both directions, of " + name);
  if (stage.map == Map::embedding) refuse("the embedding " + name);
  if (stage.map == Map::category_encoding) refuse("the encoding of categories " + name);
  if (stage.map == Map::discretization) refuse("the discretization " + name);
  if (stage.map == Map::row_activation)
    refuse(std::string(output_names[static_cast<int>(stage.row_activation)]) + " below other layers, in " + name);
}

}  // namespace

void refuse_unsupported(const Plan& plan) {
  if (plan.spec.inputs.size() > 1) refuse("several inputs");
  if (plan.heads.size() > 1) refuse("several outputs");
  for (const MetricSpec& metric : plan.spec.outputs[0].metrics)
    if (metric.sees_predictions()) refuse("a metric that is a Python function");
  for (const Stage& stage : plan.stages) refuse_layer(stage);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    const bool last = s + 1 == plan.stages.size();
    const bool follows = (stage.map == Map::linear || of_rows(stage.map)) && stage.from[0] + 1 == static_cast<int>(s);
    const bool chain = (s == 0 ? stage.map == Map::gather : follows) && stage.is_output == last &&
                       stage.readers.size() == (last ? 0 : 1);
    if (!chain) refuse("branches or merged layers, at '" + stage.layer + "'");
    for (const Segment& segment : stage.segments) {
      if (!segment.rescaling_layer.empty())
        refuse("the rescaling '" + segment.rescaling_layer + "' behind other layers");
      if (segment.groups.count > 0) refuse("statistics that several features share");
      if (segment.noise.one_row || !segment.noise.groups.empty())
        refuse("random numbers that several elements share, in '" + segment.activation_layer + "'");
      if (segment.shared)
        refuse("an activation's parameter that all units share, in '" + segment.activation_layer + "'");
    }
  }
  for (const Plan::Orthogonals& of : plan.orthogonals)
    refuse("an orthogonal regularizer, of '" + plan.variables[static_cast<std::size_t>(of.variable)].name + "'");
  for (const Variable& v : plan.variables)
    if (v.inputs > 0 && v.regularization.norms && !v.limits_panels())
      refuse("limits of norms along other axes than 0, of '" + v.name + "'");
  for (const Variable& v : plan.variables)
    if (v.stages.size() > 1) refuse("the variable '" + v.name + "' of several layers");
  const OptimizerSpec& o = plan.spec.optimizer;
  if (o.accumulation > 1) refuse("gradients accumulated over several steps");
}

}  // namespace evenflow::cuda
