// Eager losses.
#include <pybind11/stl.h>

#include "bindings/eager.h"
#include "bindings/spec.h"

namespace evenflow {

namespace {

template <class... Loss>
std::vector<std::string> loss_names(List<Loss...>) {
  return {Loss::name...};
}

py::tuple loss_forward_backward(const std::string& loss, const py::object& prediction_, const py::object& target_,
                                bool from_logits, const py::object& out, const py::kwargs& parameters) {
  const char* name = "loss_forward_backward";
  index_of(name, "name", loss, loss_names(Losses()));
  const py::dict description(parameters);
  description["kind"] = loss;
  const LossSpec kind{SpecReader::loss(name, description)};
  const py::array prediction = array(name, "prediction", prediction_, 2), target = array(name, "target", target_, -1);
  return by_type(name, "prediction", prediction, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(prediction), units = columns_of(prediction);
    const T* from = dense<T>(name, "prediction", prediction, {rows, units});
    if (rows == 0 || units == 0)
      refuse(name, "prediction", "at least one row and column", "shape " + shape_text(prediction));
    const bool sparse = kind.labels();
    if (units % kind.outputs_per_target() != 0)
      refuse(name, "prediction", std::to_string(kind.outputs_per_target()) + " columns for each target",
             "shape " + shape_text(prediction));
    const int columns = sparse ? 1 : units / kind.outputs_per_target();
    const Feed feed = feed_of(name, "target", target, columns, sparse);
    if (feed.rows != rows)
      refuse(name, "target", std::to_string(rows) + " rows, as prediction has", "shape " + shape_text(target));
    const auto& k = kernels<T>();
    const int width = k.layout.padded(units);
    std::vector<std::int64_t> labels(static_cast<std::size_t>(sparse ? rows : 0));
    std::vector<T> targets(static_cast<std::size_t>(sparse ? 0 : rows) * static_cast<std::size_t>(width));
    for (int row = 0; row < rows; ++row) {
      if (!sparse) {
        convert_row(targets.data() + static_cast<std::ptrdiff_t>(row) * width, feed, feed.row(row), 0, columns);
        continue;
      }
      std::int64_t& label = labels[static_cast<std::size_t>(row)];
      convert_row(&label, feed, feed.row(row), 0, 1);
      if ((label < 0 || label >= units) && label != kind.ignore_class())
        refuse(name, "target", "labels from 0 to " + std::to_string(units - 1),
               std::to_string(label) + " in row " + std::to_string(row));
    }
    Outputs outputs(name, out, 2);
    T *to_value = outputs.add<T>({rows}, {&prediction, &target}),
      *to_gradient = outputs.add<T>({rows, units}, {&prediction, &target}, true);
    {
      py::gil_scoped_release nogil;
      in_row_blocks(rows, 2 * sizeof(T) * static_cast<std::size_t>(units), [&](int first, int count) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first) * units;
        Tensor<T> z(k, count, units, from + at), dz(k, count, units);
        std::vector<T> scratch(static_cast<std::size_t>(3 * width));
        std::vector<double> losses(static_cast<std::size_t>(count));
        LossRows<T> in{};
        in.output = Output::plain;
        in.from_logits = from_logits && kind.absorbs() != Output::plain;
        in.units = units;
        in.z = z.panel(0);
        in.dz = dz.panel(0);
        in.stride = z.stride();
        in.gradient_scale = 1.0 / rows;
        in.value_scale = 1;
        in.labels = sparse ? labels.data() + first : nullptr;
        in.targets = sparse ? nullptr : targets.data() + static_cast<std::ptrdiff_t>(first) * width;
        in.losses = losses.data();
        kind.visit([&](const auto& found) { k.loss(found, in, scratch.data(), 0, count); });
        dz.store(to_gradient + at);
        for (int row = 0; row < count; ++row)
          to_value[first + row] = static_cast<T>(losses[static_cast<std::size_t>(row)]);
      });
    }
    return outputs.all();
  });
}

// As `activations` tells of activations.
struct Describe {
  py::dict& into;
  template <class Value, class... Rest>
  void operator()(const char* name, const Value& value, const Rest&...) const {
    if constexpr (std::is_same_v<Value, std::int64_t>)
      into[name] = value == no_class ? py::object(py::none()) : py::cast(value);
    else
      into[name] = value;
  }
  void operator()(const char* name, const QuantileLoss::Levels& levels, Range) const {
    into[name] = std::vector<double>(levels.at, levels.at + levels.count);
  }
};
template <class... Loss>
py::dict describe(List<Loss...>) {
  py::dict all;
  const auto add = [&](const auto& loss) {
    py::dict parameters;
    loss.each(loss, Describe{parameters});
    all[loss.name] = parameters;
  };
  (add(Loss()), ...);
  return all;
}

}  // namespace

void bind_losses(py::module_& m) {
  m.def("loss_forward_backward", &loss_forward_backward, py::arg("name"), py::arg("prediction"), py::arg("target"),
        py::kw_only(), py::arg("from_logits") = false, py::arg("out") = py::none());
  m.def(
      "losses", [] { return describe(Losses()); },
      "Names of losses, each with its hyper-parameters and their defaults.");
}

}  // namespace evenflow
