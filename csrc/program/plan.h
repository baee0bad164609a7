// A spec folded into operations over one arena. All checking of the network and all allocation happen here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/layout.h"
#include "program/spec.h"

namespace evenflow {

constexpr std::ptrdiff_t nowhere = -1;

// Where a variable lies: kernels in panels, vectors padded, tables in C order. Offsets are in elements.
struct Variable {
  std::string name;
  int inputs;  // 0 for a vector
  int units;
  bool trainable;
  std::ptrdiff_t offset = nowhere;  // in parameters; trainable ones first, at the same place in gradients and slots
  std::ptrdiff_t size = 0;
  double initial = 0;
  bool decays = false;      // by the optimizer's weight decay
  int rate = 0;             // index in Plan::rates
  std::vector<int> dims{};  // its shape for the world
  Regularization regularization{};
  std::vector<int> stages{};  // that use it, ascending: several where a layer is called more than once
  // Of an embedding's table: it lies in C order, and is worked on as a kernel of as many elements would be, whose
  // panels are pieces of it. Each block of full panels' width squared is a block of `inputs` of one panel.
  int rows = 0, columns = 0;

  bool is_table() const { return rows > 0; }
  bool is_kernel() const { return inputs > 0 && !is_table(); }
  // Whether its norms are those of the columns of panels, so that one thread knows each.
  bool limits_panels() const { return is_kernel() && regularization.along == Regularization::inputs; }
};

// Where a normalization has its statistics from: batch normalization tracks them, other layers have them as variables,
// a row operation has applied them already, and scaling has none.
enum class Statistics { tracked, given, applied };

// Features that share statistics, such as the pixels of a column of an image.
struct Groups {
  int count = 0;             // 0: every feature has its own
  std::vector<int> of;       // the group of each feature
  std::vector<int> members;  // features by group, ascending within
  int size() const { return count == 0 ? 1 : static_cast<int>(members.size()) / count; }
  const int* begin(int group) const { return members.data() + static_cast<std::ptrdiff_t>(group) * size(); }
};

// An affine operation and the activation that follows it; either may be missing. Or a random layer, with the activation
// that takes its place where nothing is random, which is the identity but for rrelu.
struct Segment {
  Affine form = Affine::none;
  int shift = -1, scale = -1;    // variables: bias or beta, gamma
  int mean = -1, variance = -1;  // variables: moving statistics
  Statistics source = Statistics::tracked;
  bool batch_statistics = false;  // of the batch in training, else moving
  bool unbiased = false, invert = false;
  double momentum = 0, epsilon = 0;
  double factor = 1, offset = 0;  // of a rescaling, which has no variables
  std::string rescaling_layer;    // for printing
  Groups groups;
  int activation = 0;     // row of the kernel table
  Penalty activity;       // on what comes out, per row
  int activity_sum = -1;  // its place among the sums of activities
  std::array<double, most_parameters> parameters{};
  int learned = -1;     // variable of the activation
  bool shared = false;  // it has one element, for all features
  Noise noise;
  int watch = -1;                              // its place in Plan::watched
  int stage = 0;                               // that it belongs to
  bool left_out = false;                       // a random layer with nothing to do while it is off
  std::string activation_layer;                // for printing
  std::ptrdiff_t in = nowhere, out = nowhere;  // activations; the same when nobody needs the input again
  std::ptrdiff_t quiet = nowhere;              // in place of out while random layers are off, as some are left out then
  // mean, variance, inverse, scale, dshift, dscale: padded units each. Where features share statistics: also gamma and
  // beta spread over the features, then mean, variance, dshift, dscale of each group.
  std::ptrdiff_t statistics = nowhere;
  std::ptrdiff_t learned_columns = nowhere;  // the learned variable and its gradient by features: padded units each
};

// "dense" for "dense/activation", which is how a layer's own activation is called.
inline std::string layer_of(const std::string& activation) {
  const std::size_t end = activation.rfind("/activation");
  return end != std::string::npos && end + 11 == activation.size() ? activation.substr(0, end) : activation;
}

// What a stage makes of the outputs of other stages: `transposed` is linear with the transpose of a kernel that a lower
// stage has, `row_activation` is softmax and its kin, `same` takes one as it is, the next three are of several, and the
// last three make or read ids: no gradient goes through them.
enum class Map {
  gather,
  linear,
  transposed,
  layer_normalization,
  rms_normalization,
  row_activation,
  same,
  add,
  multiply,
  concatenate,
  embedding,
  category_encoding,
  discretization
};
constexpr bool of_rows(Map map) {
  return map == Map::layer_normalization || map == Map::rms_normalization || map == Map::row_activation;
}
constexpr bool multiplies(Map map) { return map == Map::linear || map == Map::transposed; }
// Whether it reads panels that other threads wrote.
constexpr bool crosses(Map map) {
  return multiplies(map) || map == Map::concatenate || map == Map::embedding || map == Map::category_encoding ||
         of_rows(map);
}

// A map, followed by column operations on what it made.
struct Stage {
  Map map = Map::gather;
  std::string layer;          // for printing
  bool called_again = false;  // a layer that shares the variables of another, which printing shows
  std::vector<int> from;      // stages that it reads
  struct Reader {
    int stage, position;  // which reads this one as its from[position]
  };
  std::vector<Reader> readers;
  bool is_output = false;  // of the network: its gradient begins with the loss's
  bool meets = false;      // threads meet before it in the forward pass
  bool mirrored = false;   // threads share its panels out in reverse
  bool by_rows = false;    // or its rows, since one panel is all it has and the loss comes next
  int kernel = -1;         // variable
  int inputs = 0, units = 0;
  std::ptrdiff_t product = nowhere;  // what the map writes
  std::ptrdiff_t output = nowhere;   // what readers read
  int gradient_buffer = 0;
  std::vector<Segment> segments;
  bool trainable = false;
  bool shared = false;  // features of a segment share statistics
  Output row_activation = Output::plain;
  double epsilon = 0;                 // of a normalization of rows
  std::ptrdiff_t inverses = nowhere;  // what that multiplied each row by
  int spec_layer = 0;                 // embedding, encoding, discretization: whose settings it has
  int input = 0;                      // gather: which of the network's inputs, and how it is rescaled
  double factor = 1, offset = 0;
  std::string rescaling_layer;  // for printing
  int watch = -1;               // of what the map writes: its place in Plan::watched
};

// An output of the network.
struct Head {
  int stage = 0;
  Output output = Output::plain;  // what remains after the stage
  bool fused_loss = false;        // the loss is computed from the stage itself
  std::string layer;              // for printing
};

// What the backward pass and the update do: threads meet; the gradient of what enters a stage's column operations;
// the way through its row operation; the gradients of its variables and, in the same visit, their update.
struct Operation {
  enum Kind { meet, slopes, rows, weights, weights_and_update } kind;
  int stage = -1;
};
using Schedule = std::vector<Operation>;

struct Plan {
  Spec spec;
  Layout layout;
  int capacity;                     // rows
  std::vector<Variable> variables;  // in layer order
  std::vector<Stage> stages;
  std::vector<Head> heads;             // of spec.outputs
  bool merges_learned = false;         // there is a parameter of an activation that all units share, trainable
  int trained = 0;                     // variables that are trainable
  std::vector<std::string> slots;      // of the optimizer's rule; then these two where they are asked for:
  int average = -1, accumulator = -1;  // moving average of the variable, sum of the gradients since the last step
  int rule_slots = 0;
  std::vector<double> rates{1};  // the variables' different factors of the learning rate
  int noisy = 0;                 // lowest stage with a random layer; stages.size() if none
  Schedule fused, separate;      // a training step's way back: the update in the same visits, or none
  Schedule whole;                // the way back to the inputs, without an update
  int gradient_buffers = 0;
  bool branches = false;  // some stage has several readers

  // Outputs whose health can be watched: of every activation, and of a Dense layer whose stage has none.
  struct Watched {
    std::string layer;
    int units;
    bool curved;  // its activation has slopes to look at
  };
  std::vector<Watched> watched;

  // Inputs whose values are ids, with the layer that reads them; no limit: numbers.
  struct Ids {
    int limit = 0;
    std::string layer;
  };
  std::vector<Ids> ids;

  bool penalized = false;  // a trainable variable has a penalty
  // Trainable kernels with a penalty on pairs of vectors, and where in activations that is computed: see Orthogonality.
  struct Orthogonals {
    int variable;
    std::ptrdiff_t vectors, inverses, pairs, slopes, gradient;
  };
  std::vector<Orthogonals> orthogonals;
  bool norms_across = false;  // a limited norm is of several panels: of a vector, an input's weights, a table
  int activities = 0;         // segments with a penalty on what comes out

  // Sizes of the arena's parts, in elements.
  std::ptrdiff_t trainable_size = 0, parameter_size = 0, activation_size = 0, gradient_panel_size = 0;

  // What the plan needs to know of the kernel table.
  struct Known {
    std::vector<std::string> activations;
    std::vector<bool> needs_input;               // of each activation
    std::vector<bool> idle_at_zero, shows_draw;  // of each random layer
  };
  Plan(Spec, Layout, int capacity, const Known&);

  int units(std::size_t head) const { return stages[static_cast<std::size_t>(heads[head].stage)].units; }
  int most_units() const {  // of an output
    int most = 0;
    for (std::size_t h = 0; h < heads.size(); ++h) most = std::max(most, units(h));
    return most;
  }
  // Whether a stage's gradient is what its only reader gives for it.
  bool alone(const Stage& stage) const { return stage.readers.size() == 1 && !stage.is_output; }
  // Of a thread: rows of the output for the loss, the transposed weights of a panel, a block of a kernel's gradient, or
  // a row and its gradient.
  std::ptrdiff_t scratch_size() const {
    const auto padded = [&](int features) { return static_cast<std::ptrdiff_t>(layout.padded(features)); };
    std::ptrdiff_t size = 3 * padded(most_units());
    size = std::max(size, static_cast<std::ptrdiff_t>(layout.full()) * layout.full());
    for (const Stage& stage : stages) {
      if (multiplies(stage.map))  // a transposed kernel lies ready for the way back, and is transposed on the way there
        size = std::max(size, padded(stage.map == Map::transposed ? stage.inputs : stage.units) * layout.full());
      if (of_rows(stage.map)) size = std::max(size, 2 * padded(stage.units));
    }
    return size;
  }
  // The gradient of a variable of several stages is the sum of theirs, in the order of the way back: the highest stage
  // writes it, others add to it, and it is complete with the lowest.
  bool adds(int variable, int stage) const {
    return variables[static_cast<std::size_t>(variable)].stages.back() != stage;
  }
  bool completes(int variable, int stage) const {
    return variables[static_cast<std::size_t>(variable)].stages.front() == stage;
  }
  // Features of the readers' input before those of their from[position].
  int offset_in(const Stage::Reader& reader) const {
    const std::vector<int>& from = stages[static_cast<std::size_t>(reader.stage)].from;
    int features = 0;
    for (int i = 0; i < reader.position; ++i)
      features += stages[static_cast<std::size_t>(from[static_cast<std::size_t>(i)])].units;
    return features;
  }
  int target_columns(std::size_t head) const;  // of a row of targets; 1 for a label
  std::ptrdiff_t panel_stride() const { return static_cast<std::ptrdiff_t>(capacity) * layout.full(); }
  int find(const std::string& name) const;  // -1 if there is none

 private:
  struct Builder;
  void fold(const Known&);  // layers into stages (stages.cpp)
  void check_loss();
  void place_parameters();
  void place_slots();
  void place_activations(const Known&);
  void place_orthogonals();
  void make_schedules();  // schedule.cpp
  Schedule way_back(const std::vector<bool>& needed, bool updates) const;
  void place_gradients();
};

}  // namespace evenflow
