// Input, forward pass and loss of a step.
#pragma once

#include "program/step.h"

namespace evenflow {

template <class T>
void Program<T>::Step::gather(const Feeds& x, std::int64_t position, int first) const {
  for (std::size_t s = static_cast<std::size_t>(first); s < plan.stages.size(); ++s)
    if (const Stage& stage = plan.stages[s]; stage.map == Map::gather)
      gather(stage, x[static_cast<std::size_t>(stage.input)], position);
}

template <class T>
void Program<T>::Step::gather(const Stage& stage, const Feed& x, std::int64_t position) const {
  const std::ptrdiff_t product = stage.product;
  const int inputs = stage.inputs, full = plan.layout.full();
  const Range own = own_range(inputs);
  const bool as_they_lie = x.holds<T>();
  for (int row = 0; row < rows; ++row) {  // row by row: a row of the data set is a stream
    const char* from = x.row(position + row);
    if (row + 1 < rows) x.prefetch(position + row + 1, own.first * full, std::min(own.end * full, inputs));
    if (as_they_lie) {
      k.spread(at(product, 0), plan.panel_stride(), reinterpret_cast<const T*>(from), row, inputs, own.first, own.end);
      continue;
    }
    own_panels(inputs, [&](int panel, int width) {
      T* to = at(product, panel) + static_cast<std::ptrdiff_t>(row) * width;
      const int count = std::min(width, inputs - panel * full);
      convert_row(to, x, from, panel * full, count);
      std::fill(to + count, to + width, T(0));
    });
  }
  if (stage.factor == 1 && stage.offset == 0) return;
  own_panels(inputs, [&](int panel, int width) {
    k.rescale(at(product, panel), rows, width, stage.factor, stage.offset);
    const int count = inputs - panel * full;
    if (count < width) k.clear_padding(at(product, panel), rows, width, count);
  });
}

template <class T>
void Program<T>::Step::fetch_rows(const Stage& stage, int part, int parts) const {
  const Feed& x = (*next)[static_cast<std::size_t>(stage.input)];
  const Range own = own_range(stage.inputs);
  const int full = plan.layout.full(), end = std::min(own.end * full, stage.inputs);
  const std::int64_t count = std::min<std::int64_t>(rows, x.rows - next_position);
  for (std::int64_t row = count * part / parts; row < count * (part + 1) / parts; ++row)
    x.prefetch(next_position + row, own.first * full, end);
}

template <class T>
void Program<T>::Step::gather_targets(std::size_t head, const Feed& y, std::int64_t position) const {
  const OutputMemory<T>& out = p.outputs_[head];
  const int padded = plan.layout.padded(plan.units(head)), columns = plan.target_columns(head);
  const bool labels = plan.spec.outputs[head].loss->labels();
  for (int row = first_row(thread); row < first_row(thread + 1); ++row) {
    const char* from = y.row(position + row);
    if (labels)
      convert_row(&out.labels[row], y, from, 0, 1);
    else
      convert_row(out.targets + static_cast<std::ptrdiff_t>(row) * padded, y, from, 0, columns);
  }
}

// Of a row and of its class: the label, the largest of several targets, or the number that a single one is near.
template <class T>
void Program<T>::Step::gather_weights(std::size_t head, const Run& run, std::int64_t position) const {
  const OutputMemory<T>& out = p.outputs_[head];
  const Feed* weights = run.weights_of(head);
  const int padded = plan.layout.padded(plan.units(head)), columns = plan.target_columns(head);
  const bool labels = plan.spec.outputs[head].loss->labels();
  const auto class_of = [&](int row) -> double {
    if (labels) return static_cast<double>(out.labels[row]);
    const T* t = out.targets + static_cast<std::ptrdiff_t>(row) * padded;
    return columns == 1 ? std::nearbyint(static_cast<double>(*t))
                        : static_cast<double>(std::max_element(t, t + columns) - t);
  };
  for (int row = first_row(thread); row < first_row(thread + 1); ++row) {
    double& weight = out.weights[row] = 1;
    if (weights != nullptr) convert_row(&weight, *weights, weights->row(position + row), 0, 1);
    if (run.class_weights == nullptr) continue;
    const double number = class_of(row);
    if (number >= 0 && number < run.classes) weight *= run.class_weights[static_cast<std::size_t>(number)];
  }
}

template <class T>
Columns<T> Program<T>::Step::columns(const Segment& s, int units, int panel, bool batch) const {
  Columns<T> c;
  if (s.learned >= 0) learned_columns(s, units, panel, c);
  if (s.form == Affine::none) return c;
  const bool applied = s.form == Affine::normalize && s.source == Statistics::applied;
  c.shift = s.shift >= 0 ? vector(s, s.shift, 7, units, panel) : applied ? statistic(s, 1, units, panel) : p.zeros_;
  if (s.form == Affine::normalize) {
    c.mean = batch ? statistic(s, 0, units, panel) : s.mean < 0 ? p.zeros_ : vector(s, s.mean, 0, units, panel);
    c.inverse = statistic(s, 2, units, panel);
    c.scale = applied && s.scale >= 0 ? vector(s, s.scale, 6, units, panel) : statistic(s, 3, units, panel);
  }
  return c;
}

template <class T>
void Program<T>::Step::forward_segment(const Stage& stage, const Segment& s, int panel, int width,
                                       bool training) const {
  const int valid = stage.units - panel * plan.layout.full();
  if (s.noise.kind >= 0 && forward_noise(s, panel, width, valid)) return;
  const bool batch = training && s.batch_statistics;
  T* y = at(result(s), panel);
  if (s.form == Affine::normalize) normalizer(stage, s, panel, width, batch);
  k.activations[s.activation].forward[static_cast<int>(s.form)](
      y, at(s.in, panel), rows, width, columns(s, stage.units, panel, batch), s.parameters.data());
  if (valid < width) k.clear_padding(y, rows, width, valid);
  if (health != nullptr && s.watch >= 0) watch(s.watch, &s, y, stage, panel, width, batch);
  if (s.activity.active())
    activity_sum(s, panel) = k.penalize(nullptr, y, static_cast<std::ptrdiff_t>(rows) * width, s.activity);
}

template <class T>
void Program<T>::Step::forward_columns(const Stage& stage, int panel, int width, bool training) const {
  for (const Segment& s : stage.segments) forward_segment(stage, s, panel, width, training);
}

template <class T>
void Program<T>::Step::forward_stage(const Stage& stage, bool training) const {
  const auto map = [&](int panel, int width) {
    map_panel(stage, panel, width);
    if (health != nullptr && stage.watch >= 0)
      watch(stage.watch, nullptr, at(stage.product, panel), stage, panel, width, false);
  };
  if (!stage.shared) {
    own_panels(stage, [&](int panel, int width) {
      map(panel, width);
      forward_columns(stage, panel, width, training);
    });
    return;
  }
  own_panels(stage, map);
  for (const Segment& s : stage.segments) {
    if (s.groups.count > 0) share_statistics(stage, s, training && s.batch_statistics);
    own_panels(stage, [&](int panel, int width) { forward_segment(stage, s, panel, width, training); });
  }
}

template <class T>
void Program<T>::Step::forward_own_rows(const Stage& stage) const {
  const int width = plan.layout.width(stage.units, 0), first = first_row(thread), count = first_row(thread + 1) - first;
  const std::ptrdiff_t begin = static_cast<std::ptrdiff_t>(first) * width;
  k.product(at(stage.product, 0), at(plan.stages[static_cast<std::size_t>(stage.from[0])].output, 0),
            plan.panel_stride(), p.parameters_ + slice(stage.kernel, 0), first, count, stage.inputs, width);
  for (const Segment& s : stage.segments) {
    T* y = at(result(s), 0) + begin;
    k.activations[s.activation].forward[static_cast<int>(s.form)](
        y, at(s.in, 0) + begin, count, width, columns(s, stage.units, 0, false), s.parameters.data());
    if (stage.units < width) k.clear_padding(y, count, width, stage.units);
  }
}

template <class T>
void Program<T>::Step::forward_rows(const Stage& stage) const {
  const T* x = at(plan.stages[static_cast<std::size_t>(stage.from[0])].output, 0);
  T* y = at(stage.product, 0);
  if (stage.map == Map::row_activation)
    k.output_forward(stage.row_activation, y, x, plan.panel_stride(), stage.units, scratch, first_row(thread),
                     first_row(thread + 1));
  else
    k.normalize_rows(y, p.activations_ + stage.inverses, x, plan.panel_stride(), stage.units, stage.epsilon,
                     stage.map == Map::layer_normalization, scratch, first_row(thread), first_row(thread + 1));
  barrier.wait(threads);
}

template <class T>
void Program<T>::Step::forward(bool training, int first, bool own_rows_next) const {
  for (std::size_t s = static_cast<std::size_t>(first); s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    if (stage.meets) barrier.wait(threads);
    if (of_rows(stage.map)) forward_rows(stage);
    if (by_rows(stage))
      forward_own_rows(stage);
    else
      forward_stage(stage, training);
  }
  const auto made_by_rows = [&](const Head& head) {
    return by_rows(plan.stages[static_cast<std::size_t>(head.stage)]);
  };
  if (!own_rows_next || !std::all_of(plan.heads.begin(), plan.heads.end(), made_by_rows)) barrier.wait(threads);
}

template <class T>
const T* Program<T>::Step::finish_output(std::size_t number) const {
  const Head& head = plan.heads[number];
  const Stage& last = plan.stages[static_cast<std::size_t>(head.stage)];
  T* probabilities = p.outputs_[number].probabilities;
  if (head.output == Output::plain) return at(last.output, 0);
  if (of_rows(head.output)) {
    k.output_forward(head.output, probabilities, at(last.output, 0), plan.panel_stride(), last.units, scratch,
                     first_row(thread), first_row(thread + 1));
  } else {
    own_panels(last.units, [&](int panel, int width) {
      sigmoid_kernel().forward[0](probabilities + panel * plan.panel_stride(), at(last.output, panel), rows, width, {},
                                  nullptr);
    });
  }
  barrier.wait(threads);
  return probabilities;
}

template <class T>
void Program<T>::Step::collect_outputs(const std::vector<T*>& to) const {
  for (std::size_t h = 0; h < to.size(); ++h) {
    const T* y = finish_output(h);
    const int units = plan.units(h);
    for (int row = first_row(thread); row < first_row(thread + 1); ++row)
      k.collect(to[h] + static_cast<std::ptrdiff_t>(row) * units, y, plan.panel_stride(), row, units);
  }
}

template <class T>
const ActivationKernel<T>& Program<T>::Step::sigmoid_kernel() const {
  int i = 0;
  while (std::string("sigmoid") != k.activations[i].name) ++i;
  return k.activations[i];
}

template <class T>
double Program<T>::Step::divisor(std::size_t head, bool weighted) const {
  const LossSpec& loss = *plan.spec.outputs[head].loss;
  const OutputMemory<T>& out = p.outputs_[head];
  if (loss.reduction == Reduction::sum) return 1;
  const std::int64_t ignored = loss.ignore_class();
  weighted = weighted && loss.reduction == Reduction::weighted_mean;
  if (!weighted && ignored == no_class) return rows;
  double total = 0;
  for (int row = 0; row < rows; ++row)
    if (ignored == no_class || out.labels[row] != ignored) total += weighted ? out.weights[row] : 1;
  return total;
}

template <class T>
void Program<T>::Step::loss(std::size_t number, bool training, bool weighted) const {
  const Head& head = plan.heads[number];
  const OutputSpec& asked = plan.spec.outputs[number];
  const int units = plan.units(number);
  if (!asked.loss) {
    if (training)
      own_panels(units, [&](int panel, int width) {
        std::fill_n(gradient(head.stage, panel), static_cast<std::ptrdiff_t>(rows) * width, T(0));
      });
    return;
  }
  const OutputMemory<T>& out = p.outputs_[number];
  const LossSpec& loss = *asked.loss;
  LossRows<T> in{};
  in.divide(divisor(number, weighted), loss.weight, rows);
  in.output = head.output;
  in.from_logits = head.fused_loss;
  in.units = units;
  in.z = at(plan.stages[static_cast<std::size_t>(head.stage)].output, 0);
  in.dz = training ? gradient(head.stage, 0) : nullptr;
  in.stride = plan.panel_stride();
  in.weights = weighted ? out.weights : nullptr;
  if (loss.labels())
    in.labels = out.labels;
  else
    in.targets = out.targets;
  in.losses = out.losses;
  in.metrics = out.metrics.data();
  in.metric_count = static_cast<int>(out.metrics.size());
  in.metric_stride = plan.capacity;
  in.one_hot_labels = in.labels != nullptr && want_one_hot(asked.metrics);
  loss.visit([&](const auto& found) { k.loss(found, in, scratch, first_row(thread), first_row(thread + 1)); });
}

}  // namespace evenflow
