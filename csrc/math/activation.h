// What every activation is made of: value(x), and slope(x, y), the derivative at x where y = value(x). The constructor
// takes one number for each of parameters[]; none of them is below its `lowest`. Unless needs_input, slope is computed
// from y alone and x may be anything. At a kink the slope is that of the flatter side.
//
// Errors of values: 4 ULP, subnormal results included. Slopes computed from x: 4 ULP (4.4 without a fused
// multiply-add), or 1.3 eps where |slope| < 1/2 around its zero. Slopes computed from y inherit its error, which is
// absolute where y tends to a constant, and stated there. eps is 2^-23 for float, 2^-52 for double.
#pragma once

#include "math/functions.h"

namespace evenflow {

struct Parameter {
  const char* name;
  double initial;
  double lowest = 0;
};
constexpr int most_parameters = 3;
constexpr double unbounded = 1e300;  // from here on a limit is none, below -unbounded nothing is

struct WithoutParameters {
  static constexpr int parameter_count = 0;
  static constexpr const Parameter* parameters = nullptr;
};

}  // namespace evenflow
