// Random layers of a step.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
Draw Program<T>::Step::draw(const Segment& s, int panel) const {
  const int first = panel * plan.layout.full();
  return {draws.seed.value_or(s.noise.seed),
          draws.step,
          s.noise.number,
          draws.first_row,
          static_cast<std::uint32_t>(first),
          s.noise.groups.empty() ? nullptr : s.noise.groups.data() + first,
          s.noise.one_row};
}

template <class T>
bool Program<T>::Step::forward_noise(const Segment& s, int panel, int width, int valid) const {
  if (!draws.on) return s.left_out;
  const NoiseKernel<T>& noise = k.noises[s.noise.kind];
  noise.forward(at(s.out, panel), at(s.in, panel), rows, width, draw(s, panel), s.noise.parameters);
  if (valid < width && !noise.keeps_zero) k.clear_padding(at(s.out, panel), rows, width, valid);
  return true;
}

template <class T>
bool Program<T>::Step::backward_noise(const Segment& s, int panel, int width, T* dz) const {
  if (!draws.on) return s.left_out;
  const NoiseKernel<T>& noise = k.noises[s.noise.kind];
  if (p.fusion_ && noise.backward_as_shown != nullptr)
    noise.backward_as_shown(dz, at(s.out, panel), rows, width, s.noise.parameters);
  else
    noise.backward(dz, at(s.out, panel), rows, width, draw(s, panel), s.noise.parameters);
  return true;
}

}  // namespace evenflow
