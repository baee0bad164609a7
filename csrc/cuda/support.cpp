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

}  // namespace

void refuse_unsupported(const Plan& plan) {
  if (plan.spec.inputs.size() > 1) refuse("several inputs");
  if (plan.heads.size() > 1) refuse("several outputs");
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    const bool last = s + 1 == plan.stages.size();
    const bool follows = (stage.map == Map::linear || of_rows(stage.map)) && stage.from[0] + 1 == static_cast<int>(s);
    const bool chain = (s == 0 ? stage.map == Map::gather : follows) && stage.is_output == last &&
                       stage.readers.size() == (last ? 0 : 1);
    if (!chain) refuse("branches, merged layers or layers of ids, at '" + stage.layer + "'");
    for (const Segment& segment : stage.segments) {
      if (segment.groups.count > 0) refuse("statistics that several features share");
      if (segment.shared)
        refuse("an activation's parameter that all units share, in '" + segment.activation_layer + "'");
    }
  }
  for (const Variable& v : plan.variables)
    if (v.stages.size() > 1) refuse("the variable '" + v.name + "' of several layers");
  const OptimizerSpec& o = plan.spec.optimizer;
  if (o.accumulation > 1) refuse("gradients accumulated over several steps");
}

}  // namespace evenflow::cuda
