// Statistics of normalizations in a step: those of a feature of its own, and those that features of several panels
// share.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
const T* Program<T>::Step::vector(const Segment& s, int variable, int which, int units, int panel) const {
  return s.groups.count > 0 ? statistic(s, which, units, panel) : p.parameters_ + slice(variable, panel);
}

template <class T>
T* Program<T>::Step::group_statistic(const Segment& s, int which, int units, int panel) const {
  return p.activations_ + s.statistics + 8 * plan.layout.padded(units) + which * plan.layout.padded(s.groups.count) +
         panel * plan.layout.full();
}

template <class T>
double Program<T>::Step::variance_share(const Segment& s) const {
  const double count = static_cast<double>(rows) * s.groups.size();
  return (1 - s.momentum) * (s.unbiased && count > 1 ? count / (count - 1) : 1);
}

template <class T>
void Program<T>::Step::normalizer(const Stage& stage, const Segment& s, int panel, int width, bool batch) const {
  if (s.source == Statistics::applied) return;
  T *inverse = statistic(s, 2, stage.units, panel), *scale = statistic(s, 3, stage.units, panel);
  const T* variance;
  if (batch && s.groups.count == 0) {
    T *mean = statistic(s, 0, stage.units, panel), *own = statistic(s, 1, stage.units, panel);
    k.moments(mean, own, at(s.in, panel), rows, width);
    k.moving_average(p.parameters_ + slice(s.mean, panel), mean, s.momentum, 1 - s.momentum, width);
    k.moving_average(p.parameters_ + slice(s.variance, panel), own, s.momentum, variance_share(s), width);
    variance = own;
  } else {
    variance = vector(s, s.variance, 1, stage.units, panel);
  }
  if (s.source == Statistics::given)
    k.standardizer(inverse, scale, variance, 1e-7, s.invert, width);  // Keras' bound on the deviation
  else
    k.normalizer(inverse, scale, variance, s.scale < 0 ? nullptr : vector(s, s.scale, 6, stage.units, panel), s.epsilon,
                 width);
}

template <class T>
void Program<T>::Step::spread_groups(const Segment& s, T* to, const T* from, int panel, T divisor) const {
  const int first = panel * plan.layout.full();
  const int end = std::min(first + plan.layout.full(), static_cast<int>(s.groups.of.size()));
  for (int feature = first; feature < end; ++feature)
    to[feature - first] = from[s.groups.of[static_cast<std::size_t>(feature)]] / divisor;
}

template <class T>
void Program<T>::Step::share_statistics(const Stage& stage, const Segment& s, bool batch) const {
  const int units = stage.units, size = s.groups.size();
  if (batch) {
    own_panels(units, [&](int panel, int width) {
      k.moments(statistic(s, 0, units, panel), statistic(s, 1, units, panel), at(s.in, panel), rows, width);
    });
    barrier.wait(threads);
    const T *means = statistic(s, 0, units, 0), *variances = statistic(s, 1, units, 0);
    own_panels(s.groups.count, [&](int panel, int width) {
      T *mean = group_statistic(s, 0, units, panel), *variance = group_statistic(s, 1, units, panel);
      const int first = panel * plan.layout.full();
      for (int g = first; g < std::min(first + width, s.groups.count); ++g) {
        // Chan's formula for parts of equal size: the mean of the variances and the variance of the means.
        const int* members = s.groups.begin(g);
        double sum = 0, squares = 0;
        for (int i = 0; i < size; ++i) sum += static_cast<double>(means[members[i]]);
        for (int i = 0; i < size; ++i) {
          const double difference = static_cast<double>(means[members[i]]) - sum / size;
          squares += static_cast<double>(variances[members[i]]) + difference * difference;
        }
        mean[g - first] = static_cast<T>(sum / size);
        variance[g - first] = static_cast<T>(squares / size);
      }
      k.moving_average(p.parameters_ + slice(s.mean, panel), mean, s.momentum, 1 - s.momentum, width);
      k.moving_average(p.parameters_ + slice(s.variance, panel), variance, s.momentum, variance_share(s), width);
    });
    barrier.wait(threads);
  }
  own_panels(units, [&](int panel, int) {
    const auto spread = [&](int which, const T* from) {
      spread_groups(s, statistic(s, which, units, panel), from, panel, T(1));
    };
    const auto value = [&](int which, int variable) {
      if (variable >= 0) spread(which, p.parameters_ + slice(variable, 0));
    };
    if (batch) {
      spread(0, group_statistic(s, 0, units, 0));
      spread(1, group_statistic(s, 1, units, 0));
    } else {
      value(0, s.mean);
      value(1, s.variance);
    }
    value(6, s.scale);
    value(7, s.shift);
  });
}

template <class T>
void Program<T>::Step::share_sums(int number, const Segment& s, bool batch) const {
  const int units = plan.stages[static_cast<std::size_t>(number)].units, size = s.groups.size();
  barrier.wait(threads);
  own_panels(s.groups.count, [&](int panel, int width) {
    const int first = panel * plan.layout.full();
    const auto add_up = [&](int which, int variable) {
      const T* parts = statistic(s, 4 + which, units, 0);
      T* sums = group_statistic(s, 2 + which, units, panel);
      for (int g = first; g < std::min(first + width, s.groups.count); ++g) {
        double sum = 0;
        for (int i = 0; i < size; ++i) sum += static_cast<double>(parts[s.groups.begin(g)[i]]);
        sums[g - first] = static_cast<T>(sum);
      }
      if (variable < 0 || !plan.variables[static_cast<std::size_t>(variable)].trainable) return;
      T* to = p.gradients_ + slice(variable, panel);
      if (plan.adds(variable, number))
        k.add(to, sums, width);
      else
        std::copy_n(sums, width, to);
      if (plan.completes(variable, number)) penalize(variable, panel, slice(variable, panel), width);
    };
    add_up(0, s.shift);
    add_up(1, s.scale);
  });
  barrier.wait(threads);
  if (!batch) return;
  own_panels(units, [&](int panel, int width) {  // the kernel divides by the rows, which are not all of a group
    T *dshift = statistic(s, 4, units, panel), *dscale = statistic(s, 5, units, panel);
    spread_groups(s, dshift, group_statistic(s, 2, units, 0), panel, static_cast<T>(size));
    spread_groups(s, dscale, group_statistic(s, 3, units, 0), panel, static_cast<T>(size));
    k.normalize_backward(gradient(number, panel), at(s.in, panel), rows, width, columns(s, units, panel, batch), dshift,
                         dscale);
  });
}

}  // namespace evenflow
