// Where things lie. A panel is 2 * lanes neighbouring features; a layer's features are padded to a multiple of lanes,
// so its last panel may be lanes wide.
//   activations  [panel][row][width]             panels a fixed stride apart
//   kernels      [output panel][input][width]    dense, without padding rows; gradients and slots alike
#pragma once

#include <cstddef>

#include "math/vocabulary.h"

namespace evenflow {

// std::min leaves a symbol without an instruction set in its name.
template <class T>
EVENFLOW_INLINE constexpr T smaller(T a, T b) {
  return b < a ? b : a;
}

struct Layout {
  int lanes;

  EVENFLOW_INLINE constexpr int full() const { return 2 * lanes; }
  EVENFLOW_INLINE constexpr int padded(int features) const { return (features + lanes - 1) / lanes * lanes; }
  EVENFLOW_INLINE constexpr int panels(int features) const { return (features + full() - 1) / full(); }
  EVENFLOW_INLINE constexpr int width(int features, int panel) const {
    const int rest = padded(features) - panel * full();
    return rest < full() ? rest : full();
  }
};

}  // namespace evenflow
