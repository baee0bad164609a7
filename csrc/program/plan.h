// A spec folded into operations over one arena. All checking of the network and all allocation happen here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/layout.h"
#include "program/spec.h"

namespace evenflow {

constexpr std::ptrdiff_t nowhere = -1;

// Where a variable lies: kernels in panels, vectors padded. Offsets are in elements.
struct Variable {
  std::string name;
  int inputs;  // 0 for a vector
  int units;
  bool trainable;
  std::ptrdiff_t offset = nowhere;  // in parameters; trainable ones first, at the same place in gradients and slots
  std::ptrdiff_t size = 0;
  double initial = 0;
  bool decays = false;  // by the optimizer's weight decay
};

// An affine operation and the activation that follows it; either may be missing. Or a random layer, with the activation
// that takes its place where nothing is random, which is the identity but for rrelu.
struct Segment {
  Affine form = Affine::none;
  int shift = -1, scale = -1;     // variables: bias or beta, gamma
  int mean = -1, variance = -1;   // variables: moving statistics
  bool batch_statistics = false;  // of the batch in training, else moving
  double momentum = 0, epsilon = 0;
  int activation = 0;  // row of the kernel table
  double parameter = 0;
  Noise noise;
  std::string activation_layer;                // for printing
  std::ptrdiff_t in = nowhere, out = nowhere;  // activations; the same when nobody needs the input again
  std::ptrdiff_t quiet = nowhere;              // in place of out while random layers are off, as some are left out then
  std::ptrdiff_t statistics = nowhere;         // mean, variance, inverse, scale, dshift, dscale: padded units each
};

// A linear map followed by column operations. Stage 0 has no map: it is the input.
struct Stage {
  int kernel = -1;  // variable
  int inputs = 0, units = 0;
  std::ptrdiff_t product = nowhere;  // what the map writes
  std::ptrdiff_t output = nowhere;   // what the next stage reads
  std::vector<Segment> segments;
  bool trainable = false;
};

struct Plan {
  Spec spec;
  Layout layout;
  int capacity;                     // rows
  std::vector<Variable> variables;  // in layer order
  std::vector<Stage> stages;
  Output output = Output::plain;              // what remains after the last stage
  bool fused_loss = false;                    // the loss is computed from the last stage itself
  int lowest = 0;                             // lowest stage with something trainable; stages.size() if none
  std::vector<std::string> slots;             // of the optimizer's rule
  double factor = 1, offset = 0;              // rescaling of the input
  std::string rescaling_layer, output_layer;  // for printing
  int noisy = 0;                              // lowest stage with a random layer; stages.size() if none

  // Sizes of the arena's parts, in elements.
  std::ptrdiff_t trainable_size = 0, parameter_size = 0, activation_size = 0, gradient_panel_size = 0;

  // What the plan needs to know of the kernel table.
  struct Known {
    std::vector<std::string> activations;
    std::vector<bool> needs_input;   // of each activation
    std::vector<bool> idle_at_zero;  // of each random layer
  };
  Plan(Spec, Layout, int capacity, const Known&);

  int units() const { return stages.back().units; }
  std::ptrdiff_t panel_stride() const { return static_cast<std::ptrdiff_t>(capacity) * layout.full(); }
  int find(const std::string& name) const;  // -1 if there is none
};

}  // namespace evenflow
