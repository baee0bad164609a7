// Variables between the arena's panels and C order.
#pragma once

#include <algorithm>

#include "program/program.h"

namespace evenflow {

template <class T>
void Program<T>::unpack(const Variable& v, const T* packed, T* to) const {
  if (v.is_table()) {
    std::copy_n(packed, std::ptrdiff_t{v.rows} * v.columns, to);
    return;
  }
  const int inputs = v.inputs == 0 ? 1 : v.inputs, full = plan_.layout.full();
  for (int panel = 0; panel < plan_.layout.panels(v.units); ++panel) {
    const int width = plan_.layout.width(v.units, panel), first = panel * full;
    for (int i = 0; i < inputs; ++i, packed += width)
      std::copy_n(packed, std::min(width, v.units - first), to + static_cast<std::ptrdiff_t>(i) * v.units + first);
  }
}

template <class T>
void Program<T>::pack(const Variable& v, T* packed, const T* from) const {
  if (v.is_table()) {
    std::copy_n(from, std::ptrdiff_t{v.rows} * v.columns, packed);
    return;
  }
  const int inputs = v.inputs == 0 ? 1 : v.inputs, full = plan_.layout.full();
  for (int panel = 0; panel < plan_.layout.panels(v.units); ++panel) {
    const int width = plan_.layout.width(v.units, panel), first = panel * full;
    for (int i = 0; i < inputs; ++i, packed += width)
      std::copy_n(from + static_cast<std::ptrdiff_t>(i) * v.units + first, std::min(width, v.units - first), packed);
  }
}

}  // namespace evenflow
