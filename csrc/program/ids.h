// Columns of categories: ids from numbers, features from ids, and the tables of embeddings.
#pragma once

#include <cstring>

#include "program/step.h"

namespace evenflow {

template <class T>
template <class Visit>
void Program<T>::Step::each_embedded(const Stage& stage, int panel, int width, Visit visit) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(stage.kernel)];
  const Stage& from = plan.stages[static_cast<std::size_t>(stage.from[0])];
  const int full = plan.layout.full(), begin = panel * full;
  each_part(begin, std::min(begin + width, stage.units), v.columns, [&](int id, int first, int count, int lane) {
    const T* ids = at(from.output, id / full) + id % full;
    visit(Embedded<T>{ids, plan.layout.width(from.units, id / full), rows, v.rows, v.columns, first, count}, lane);
  });
}

template <class T>
void Program<T>::Step::embed_panel(const Stage& stage, int panel, int width) const {
  const Variable& v = plan.variables[static_cast<std::size_t>(stage.kernel)];
  T* to = at(stage.product, panel);
  each_embedded(stage, panel, width,
                [&](const Embedded<T>& part, int lane) { k.embed(to + lane, width, p.parameters_ + v.offset, part); });
  const int valid = stage.units - panel * plan.layout.full();
  if (valid < width) k.clear_padding(to, rows, width, valid);
}

template <class T>
void Program<T>::Step::encode_panel(const Stage& stage, int panel, int width) const {
  const LayerSpec& l = plan.spec.layers[static_cast<std::size_t>(stage.spec_layer)];
  const Stage& from = plan.stages[static_cast<std::size_t>(stage.from[0])];
  const int full = plan.layout.full(), begin = panel * full, end = std::min(begin + width, stage.units);
  T* to = at(stage.product, panel);
  std::fill_n(to, static_cast<std::ptrdiff_t>(rows) * width, T(0));
  for (int i = 0; i < stage.inputs; ++i) {
    const int before = l.encoding == LayerSpec::one_hot ? i * l.units : 0;
    if (before >= end || before + l.units <= begin) continue;
    const T* ids = at(from.output, i / full) + i % full;
    const std::ptrdiff_t stride = plan.layout.width(from.units, i / full);
    for (int row = 0; row < rows; ++row) {
      const T id = ids[row * stride];
      if (!(id >= T(0) && id < static_cast<T>(l.units))) continue;
      const int feature = before + static_cast<int>(id);
      if (feature < begin || feature >= end) continue;
      T& value = to[static_cast<std::ptrdiff_t>(row) * width + feature - begin];
      value = l.encoding == LayerSpec::count ? value + T(1) : T(1);
    }
  }
}

// How many boundaries are at most x; all where x is NaN.
template <class T>
void Program<T>::Step::discretize_panel(const Stage& stage, int panel, int width) const {
  const LayerSpec& l = plan.spec.layers[static_cast<std::size_t>(stage.spec_layer)];
  const T* from = at(plan.stages[static_cast<std::size_t>(stage.from[0])].output, panel);
  T* to = at(stage.product, panel);
  const auto begin = l.boundaries.begin(), end = l.boundaries.end();
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(rows) * width; ++i) {
    const T x = from[i];
    const auto above = std::upper_bound(begin, end, x, [](T a, double b) { return a < static_cast<T>(b); });
    to[i] = static_cast<T>(above - begin);
  }
  const int valid = stage.units - panel * plan.layout.full();
  if (valid < width) k.clear_padding(to, rows, width, valid);
}

template <class T>
void Program<T>::Step::touch(int variable, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  if (plan.variables[static_cast<std::size_t>(variable)].is_table())
    std::fill_n(p.marks(variable, offset), (n + strip - 1) / strip, 1);
}

template <class T>
template <class Visit>
void Program<T>::Step::each_written(int table, std::ptrdiff_t offset, std::ptrdiff_t n, Visit visit) const {
  const std::ptrdiff_t strips = (n + strip - 1) / strip;
  const unsigned char* marks = p.marks(table, offset);
  const unsigned char *const begin = marks, *const end = marks + strips;
  while (marks < end) {
    const void* found = std::memchr(marks, 1, static_cast<std::size_t>(end - marks));
    if (found == nullptr) return;
    const unsigned char* first = static_cast<const unsigned char*>(found);
    for (marks = first; marks < end && *marks != 0;) ++marks;
    const std::ptrdiff_t from = (first - begin) * strip;
    visit(offset + from, std::min(n, (marks - begin) * strip) - from);
  }
}

template <class T>
void Program<T>::Step::clear_written(int table, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  each_written(table, offset, n, [&](std::ptrdiff_t at, std::ptrdiff_t count) {
    std::fill_n(p.gradients_ + at, count, T(0));
    std::fill_n(p.marks(table, at), (count + strip - 1) / strip, 0);
  });
}

template <class T>
bool Program<T>::Step::rests_at_zero(const Variable& v) const {
  if (samples || plan.average >= 0 || v.regularization.settles()) return false;
  if (!steps || plan.rates[static_cast<std::size_t>(v.rate)] == 0) return true;
  const Spending& how = spendings[static_cast<std::size_t>(v.rate)];
  const bool decays = v.decays && (how.decay.rate != 0 || how.decay.coupled != 0);
  return !decays && std::holds_alternative<Sgd>(how.rule);
}

// Ids in the order of rows, one part of a row after the other, whatever the threads.
template <class T>
void Program<T>::Step::add_embedded(int number, std::ptrdiff_t begin, std::ptrdiff_t end) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  const Variable& v = plan.variables[static_cast<std::size_t>(stage.kernel)];
  for (int panel = 0; panel < plan.layout.panels(stage.units); ++panel) {
    const int width = plan.layout.width(stage.units, panel);
    each_embedded(stage, panel, width, [&](const Embedded<T>& part, int lane) {
      for (int row = 0; row < rows; ++row) {
        const std::ptrdiff_t at = part.begin(row), first = std::max(at, begin), last = std::min(at + part.count, end);
        if (at < 0 || first >= last) continue;
        unsigned char* marks = p.marks(stage.kernel, v.offset);
        for (std::ptrdiff_t mark = first / strip; mark <= (last - 1) / strip; ++mark) marks[mark] = 1;
      }
      k.embed_backward(p.gradients_ + v.offset, begin, end, gradient(number, panel) + lane, width, part);
    });
  }
}

template <class T>
template <class Visit>
void Program<T>::Step::table_gradient(int number, Visit visit) const {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  const int table = stage.kernel;
  const Variable& v = plan.variables[static_cast<std::size_t>(table)];
  if (!v.trainable) return;
  const Range own = own_range(v.units);
  const std::ptrdiff_t piece = static_cast<std::ptrdiff_t>(plan.layout.full()) * v.inputs;
  const std::ptrdiff_t begin = own.first * piece, end = std::max(begin, own.end * piece);
  if (!plan.adds(table, number)) clear_written(table, v.offset + begin, end - begin);
  if (begin < end) add_embedded(number, begin, end);
  if (!plan.completes(table, number)) return;
  const bool penalized = v.regularization.penalty.active(), sparse = rests_at_zero(v);
  const auto use = [&](std::ptrdiff_t offset, std::ptrdiff_t n) {
    visit(offset, n, p.gradients_ + offset);
    if (passing) clear_written(table, offset, n);
  };
  if (sparse && !penalized && !measures && !accumulates) {
    each_written(table, v.offset + begin, end - begin, use);
    return;
  }
  own_blocks(number, [&](int panel, int part, std::ptrdiff_t offset, int count, int width) {
    const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(count) * width;
    if (penalized && !v.regularization.proximal) touch(table, offset, n);
    penalize(table, panel, offset, n);
    const bool some = accumulates || has_written(table, offset, n);
    if (accumulates || (measures && some))
      written(table, panel, part, offset, n);
    else if (measures && part == 0)
      *p.panel_square_sum(static_cast<std::size_t>(table), panel) = 0;
    if (some)
      use(offset, n);
    else if (!sparse)
      visit(offset, n, p.zeros_);
  });
}

template <class T>
void Program<T>::Step::spend_table(Clip clip, int number, std::ptrdiff_t offset, std::ptrdiff_t n) const {
  const auto some = [&](std::ptrdiff_t at, std::ptrdiff_t count) { spend(clip, number, at, count); };
  if (rests_at_zero(plan.variables[static_cast<std::size_t>(number)]))
    each_written(number, offset, n, some);
  else
    some(offset, n);
}

}  // namespace evenflow
