// A plan as data and as text.
#pragma once

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "bindings/names.h"
#include "program/plan.h"

namespace evenflow {

template <class T>
std::vector<std::string> activation_names(const Kernels<T>& k) {
  std::vector<std::string> names;
  for (int i = 0; i < k.activation_count; ++i) names.emplace_back(k.activations[i].name);
  return names;
}

template <class T>
Plan::Known known_of(const Kernels<T>& k) {
  Plan::Known known;
  known.activations = activation_names(k);
  for (int i = 0; i < k.activation_count; ++i) known.needs_input.push_back(k.activations[i].needs_input);
  for (int i = 0; i < k.noise_count; ++i) {
    known.idle_at_zero.push_back(k.noises[i].idle_at_zero);
    known.shows_draw.push_back(k.noises[i].backward_as_shown != nullptr);
  }
  return known;
}

template <class T>
std::vector<std::string> noise_names(const Kernels<T>& k) {
  std::vector<std::string> names;
  for (int i = 0; i < k.noise_count; ++i) names.emplace_back(k.noises[i].name);
  return names;
}

inline std::string penalty_text(const Penalty& penalty) {
  return (penalty.l1 != 0 ? ", l1 " + number_text(penalty.l1) : "") +
         (penalty.l2 != 0 ? ", l2 " + number_text(penalty.l2) : "");
}

// What regularizes a variable; nothing where it is frozen.
inline std::string regularization_text(const Plan& p, int variable) {
  const Variable& v = p.variables[static_cast<std::size_t>(variable)];
  const Regularization& r = v.regularization;
  if (!v.trainable || !(r.penalized() || r.settles())) return "";
  std::string found = penalty_text(r.penalty);
  if (r.orthogonal.factor != 0)
    found +=
        std::string(", orthogonal ") + (r.orthogonal.rows ? "rows " : "columns ") + number_text(r.orthogonal.factor);
  if (r.proximal) found += " proximal";
  if (r.nonnegative) found += ", not negative";
  if (r.norms) {
    constexpr const char* words[] = {"", " of inputs", " of all"};  // of a kernel; a vector has one norm
    found += std::string(", norms") + (v.inputs > 0 ? words[r.along] : "") + " from " + number_text(r.norms->lowest) +
             " to " + number_text(r.norms->highest);
  }
  return " (" + v.name.substr(v.name.rfind('/') + 1) + found + ")";
}

inline std::string map_text(const Plan& p, const Stage& stage) {
  constexpr const char* words[] = {"gather",
                                   "product",
                                   "product transposed",
                                   "layer_normalization",
                                   "rms_normalization",
                                   "",
                                   "read",
                                   "add",
                                   "multiply",
                                   "concatenate",
                                   "embed",
                                   "encode",
                                   "discretize"};
  std::string found = stage.map == Map::row_activation ? output_names[static_cast<int>(stage.row_activation)]
                                                       : words[static_cast<int>(stage.map)];
  if (stage.kernel >= 0)
    found += " " + p.variables[static_cast<std::size_t>(stage.kernel)].name + regularization_text(p, stage.kernel);
  else if (stage.map != Map::same && !stage.layer.empty())
    found += " " + stage.layer;
  const bool other = stage.called_again || stage.map == Map::transposed;  // whose name is not yet there
  if (other && (stage.kernel >= 0 || stage.map == Map::same)) found += " (" + stage.layer + ")";
  return found;
}

// Whether a training step's way back goes through a stage.
inline bool goes_back(const Plan& p, std::size_t stage) {
  return std::any_of(p.fused.begin(), p.fused.end(), [&](const Operation& operation) {
    return operation.kind == Operation::slopes && static_cast<std::size_t>(operation.stage) == stage;
  });
}

inline py::list plan_steps(const Plan& p, const std::vector<std::string>& activations,
                           const std::vector<std::string>& noises) {
  py::list all;
  const auto name = [&](int variable) { return p.variables[static_cast<std::size_t>(variable)].name; };
  const auto kept = [&](int variable) { return variable < 0 ? std::string() : regularization_text(p, variable); };
  for (std::size_t s = 0; s < p.stages.size(); ++s) {
    const Stage& stage = p.stages[s];
    const auto add = [&](const std::string& operation, std::ptrdiff_t offset) {
      py::dict row;
      row["stage"] = s;
      row["operation"] = operation;
      row["units"] = stage.units;
      row["panels"] = p.layout.panels(stage.units);
      row["offset"] = offset;
      row["backward"] = goes_back(p, s);
      all.append(row);
    };
    add(map_text(p, stage), stage.product);
    if (!stage.rescaling_layer.empty()) add("rescale " + stage.rescaling_layer, stage.product);
    for (const Segment& segment : stage.segments) {
      if (segment.form == Affine::bias) add("bias " + name(segment.shift) + kept(segment.shift), segment.out);
      if (!segment.rescaling_layer.empty()) add("rescale " + segment.rescaling_layer, segment.out);
      if (segment.source == Statistics::applied) {
        if (segment.scale >= 0) add("scale " + name(segment.scale) + kept(segment.scale), segment.out);
        if (segment.shift >= 0) add("bias " + name(segment.shift) + kept(segment.shift), segment.out);
      } else if (segment.form == Affine::normalize) {
        const bool moving = segment.source == Statistics::tracked && !segment.batch_statistics;
        const std::string shared =
            segment.groups.count > 0 ? " (" + std::to_string(segment.groups.count) + " shared)" : "";
        add((segment.invert ? "denormalize "
             : moving       ? "normalize (frozen) "
                            : "normalize ") +
                name(segment.invert ? segment.shift : segment.mean) + shared +
                (segment.source == Statistics::tracked ? kept(segment.scale) + kept(segment.shift) : ""),
            segment.out);
      }
      if (segment.noise.kind >= 0)
        add(noises[static_cast<std::size_t>(segment.noise.kind)] + " " + segment.activation_layer, segment.out);
      else if (!segment.activation_layer.empty())
        add(activations[static_cast<std::size_t>(segment.activation)] + " " + segment.activation_layer +
                kept(segment.learned),
            segment.out);
      if (segment.activity.active()) add("activity" + penalty_text(segment.activity), segment.out);
    }
    for (const Head& head : p.heads)
      if (head.stage == static_cast<int>(s) && head.output != Output::plain)
        add(std::string(output_names[static_cast<int>(head.output)]) + " " + head.layer +
                (head.fused_loss ? " (with the loss)" : ""),
            stage.output);
  }
  return all;
}

inline std::string plan_text(const Plan& p, const std::vector<std::string>& activations,
                             const std::vector<std::string>& noises, const std::string& dtype, const std::string& isa) {
  std::ostringstream out;
  out << "Program: " << dtype << ", " << isa << ", at most " << p.capacity << " rows, panels of " << p.layout.full()
      << " features\n";
  out << "stage  units  panels    offset  operation\n";
  for (const auto& item : plan_steps(p, activations, noises)) {
    const auto row = item.cast<py::dict>();
    const auto cell = [&](const char* key, std::size_t width) {
      const std::string value = text(row[key]);
      out << std::string(value.size() < width ? width - value.size() : 0, ' ') << value;
    };
    cell("stage", 5);
    cell("units", 7);
    cell("panels", 8);
    cell("offset", 10);
    out << "  " << text(row["operation"]) << "\n";
  }
  out << "way back:";
  for (std::size_t s = p.stages.size(); s-- > 0;)
    if (goes_back(p, s)) out << " " << s;
  out << (p.fused.empty() ? " no stage\n" : "\n");
  out << "parameters: " << p.trainable_size << " trainable of " << p.parameter_size << ", slots: " << p.slots.size()
      << ", activations: " << p.activation_size << " elements";
  return out.str();
}

}  // namespace evenflow
