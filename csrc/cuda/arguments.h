// What kernels are told, as plain data. Matrices lie row by row: activations [row][padded units], kernels of layers
// [input][padded units], as a plan with one panel for each layer has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "program/feed.h"

namespace evenflow::cuda {

constexpr int warp = 32;            // threads; and the lanes that features are padded to
constexpr int panel_width = 8;      // features of the panel that a block owns
constexpr int block_rows = 64;      // rows of a tile of a product
constexpr int update_block = 1024;  // parameters of a block of the update

// Where a normalization has its statistics from, for a kernel; plan.h has the same of plans.
enum class Moments { none, batch, moving, given, applied };

// A segment of a stage. Pointers are null where there is nothing.
template <class T>
struct Segment {
  Affine form = Affine::none;
  Moments moments = Moments::none;  // in training; `batch` is `moving` elsewhere
  bool invert = false;
  double epsilon = 0, momentum = 0;
  bool unbiased = false;
  const T *shift = nullptr, *scale = nullptr;  // beta or bias, gamma
  T *mean = nullptr, *variance = nullptr;      // moving, or given
  T* statistics = nullptr;                     // mean, inverse deviation, factor: padded units each
  T *dshift = nullptr, *dscale = nullptr;      // gradients of shift and scale
  int activation = 0;
  double parameters[most_parameters] = {};
  const T* learned = nullptr;  // the activation's parameter, by features, and its gradient
  T* dlearned = nullptr;
  int noise = -1;  // kind of random layer
  double noise_settings[noise_parameters] = {};
  std::uint64_t seed = 0;
  std::uint32_t number = 0;
  bool left_out = false;  // a random layer with nothing to do while it is off
  Penalty activity;
  double* activity_sums = nullptr;  // of each panel
  const T* in = nullptr;
  T *out = nullptr, *quiet = nullptr;  // quiet: while random layers are off
};

// c[m][n] = a[m][k] b[k][n], each operand perhaps the transposed of what lies there.
template <class T>
struct Product {
  const T *a = nullptr, *b = nullptr;
  T* c = nullptr;
  int m = 0, n = 0, k = 0;
  int a_stride = 0, b_stride = 0, c_stride = 0;
};

constexpr int most_segments = 4;

// A stage of a step: what fills its panels, unless that was done before, and its segments.
template <class T>
struct Columns {
  Product<T> product;                    // a null: done
  Segment<T> first[most_segments];       // here, where a kernel finds them at once;
  const Segment<T>* segments = nullptr;  // or there, where they are more
  int count = 0, rows = 0, units = 0, stride = 0;
  T* dz = nullptr;  // gradient of what comes out, and of what comes in
  bool training = false;

  EVENFLOW_INLINE const Segment<T>& segment(int i) const { return segments != nullptr ? segments[i] : first[i]; }
};

// A data set on the device.
struct Table {
  const char* data = nullptr;
  Element element = Element::f32;
  std::ptrdiff_t row_bytes = 0;
  int columns = 0;
};

// What changes from call to call, in the device's memory, so that a captured step need not.
struct Control {
  std::int64_t step = 0;   // of this call, from 0: the next that is gathered
  std::int64_t first = 0;  // row of the data set with which the call begins, unless there is an order
  std::uint64_t draw = 0;  // of the call's first step
  Table x, y, weights;
  const std::int64_t* order = nullptr;  // rows of this call
  const double* class_weights = nullptr;
  int classes = 0;
  const void* spendings = nullptr;  // [step][rate]
  void* out = nullptr;              // predictions
  double* results = nullptr;
  std::int64_t current = 0;  // the step that was gathered last
};

// The places of a run's sums.
enum Result { loss_sum, output_loss, weight_sum, first_state };

// The part of a variable that a block of threads updates.
struct Slice {
  int variable = 0;
  int part = 0;  // of the variable
  std::ptrdiff_t offset = 0;
  int count = 0;
};

// A variable, as the update sees it.
struct Trained {
  int rate = 0;
  bool moves = true;  // its rate is not 0
  bool decays = false;
  Penalty penalty;
  bool proximal = false, nonnegative = false;
  int first_slice = 0, slices = 0;
};

// What a step does to parameters, by rates.
template <class Rule>
struct Spent {
  Rule rule;
  Decay decay;
  double rate = 0, keep = 0;  // keep: of the moving average
  bool overwrites = false;
};

}  // namespace evenflow::cuda
