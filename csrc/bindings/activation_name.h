// An activation by name with its hyper-parameters, checked.
#pragma once

#include <cmath>

#include "bindings/names.h"

namespace evenflow {

struct Activation {
  std::size_t index;
  double parameters[most_parameters];
};

inline std::vector<std::string> activation_names(bool learned) {
  const auto& k = kernels<float>();
  std::vector<std::string> names;
  for (int i = 0; i < k.activation_count; ++i)
    if ((k.activations[i].learned != nullptr) == learned) names.emplace_back(k.activations[i].name);
  return names;
}

inline std::size_t fixed_activation(const char* function, const char* argument, const std::string& name) {
  const auto& k = kernels<float>();
  for (int i = 0; i < k.activation_count; ++i)
    if (name == k.activations[i].name && k.activations[i].learned == nullptr) return static_cast<std::size_t>(i);
  return index_of(function, argument, name, activation_names(false));
}

inline Activation find_activation(const char* function, const char* argument, const std::string& name,
                                  const py::kwargs& given) {
  Activation found{fixed_activation(function, argument, name), {}};
  const ActivationKernel<float>& own = kernels<float>().activations[found.index];
  for (int i = 0; i < own.parameter_count; ++i) found.parameters[i] = own.parameters[i].initial;
  for (const auto& [key, value] : given) {
    const int i = parameter_index(own, text(key));
    if (i < 0) refuse_type(function, text(key), parameter_text(own, name), text(py::repr(value)));
    try {
      found.parameters[i] = py::reinterpret_borrow<py::object>(value).cast<double>();
    } catch (const py::cast_error&) {
      refuse_type(function, own.parameters[i].name, "a number", text(py::repr(value)));
    }
    if (!(found.parameters[i] >= own.parameters[i].lowest) || std::isinf(found.parameters[i]))
      refuse(function, own.parameters[i].name,
             own.parameters[i].lowest < 0 ? "a finite number" : "a finite number of at least 0", text(py::repr(value)));
  }
  return found;
}

}  // namespace evenflow
