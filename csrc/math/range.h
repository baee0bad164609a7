// What a hyper-parameter may be.
#pragma once

namespace evenflow {

struct Range {
  double lowest, highest;
};
constexpr Range fraction{0, 1};
constexpr Range open_share{1e-300, 1 - 1e-15};
constexpr Range decay_rate{0, 1 - 1e-15};
constexpr Range nonnegative{0, 1e300};
// Smaller ones, or their products with a bias correction, would vanish in float: 0 / 0 where no gradient ever was.
constexpr Range denominator{1e-30, 1e300};

}  // namespace evenflow
