// Binds Health: what steps counted of a network's layers.
#include "bindings/native_program.h"

namespace evenflow {

namespace {

template <class T>
py::array_t<double> numbers(const std::vector<T>& values) {
  py::array_t<double> all(static_cast<py::ssize_t>(values.size()));
  std::copy(values.begin(), values.end(), all.mutable_data());
  return all;
}

template <class T>
void read(std::vector<T>& values, const py::dict& counts, const char* name) {
  const auto given = py::array_t<double>::ensure(counts[name]);
  if (!given || given.ndim() != 1 || given.size() != static_cast<py::ssize_t>(values.size()))
    refuse("Health.go_on", name, std::to_string(values.size()) + " numbers", "others");
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(given.at(static_cast<py::ssize_t>(i)));
}

// The entry of a list for the layer at place i.
py::dict of_layer(const py::list& given, std::size_t i, const std::string& layer, const char* list) {
  const py::dict one = given[i];
  if (one["layer"].cast<std::string>() != layer)
    refuse("Health.go_on", list, "the layers that are counted here", "others");
  return one;
}

// Everything is read before anything is changed.
void go_on(Health& health, const py::dict& counts) {
  Health next = health;
  next.steps = counts["steps"].cast<std::int64_t>();
  next.sampled = counts["sampled"].cast<std::int64_t>();
  next.rows = counts["rows"].cast<std::int64_t>();
  const py::list outputs = counts["outputs"], weights = counts["weights"];
  if (outputs.size() != next.outputs.size() || weights.size() != next.weights.size())
    refuse("Health.go_on", "counts", "the layers that are counted here", "others");
  for (std::size_t i = 0; i < next.outputs.size(); ++i) {
    Health::Output& output = next.outputs[i];
    const py::dict one = of_layer(outputs, i, output.layer, "outputs");
    read(output.mean, one, "mean");
    read(output.squares, one, "squares");
    read(output.flat, one, "flat");
    read(output.alive, one, "alive");
    std::fill(output.alive_panels.begin(), output.alive_panels.end(), 0);  // the next step looks
  }
  for (std::size_t i = 0; i < next.weights.size(); ++i) {
    Health::Weights& weight = next.weights[i];
    const py::dict one = of_layer(weights, i, weight.layer, "weights");
    weight.gradient = one["gradient"].cast<double>();
    weight.update = one["update"].cast<double>();
    weight.weight = one["weight"].cast<double>();
  }
  health = std::move(next);
}

}  // namespace

void bind_health(py::module_& m) {
  py::class_<Health>(m, "Health", R"(Counts of a program's layers, for `train`, `forward` and `update`.

Of every `every`-th step of the optimizer, the first of all too, everything is counted; of the others only which units
are alive. `outputs` has a dict for each activation, and for each Dense layer that none follows: layer, curved
(whether its activation has slopes), and by unit the mean and the sum of squared deviations (of the `rows` of sampled steps), flat (rows in which the slope of the activation
is below 0.01) and alive (1 where the unit was not zero in some row of any step). `weights` has a dict for each layer
with trained variables: layer, and the sums over the `sampled` steps of the l2 norms of its gradient before clipping, of
what the update changed (before constraints) and of the weights before it. For one program at a time.)")
      .def(py::init([](const PyProgram& program, std::int64_t every) {
             if (every < 1 || every > (1 << 28)) refuse("Health", "every", "1 to 2^28", std::to_string(every));
             return Health(program.plan(), static_cast<int>(every));
           }),
           py::arg("program"), py::arg("every") = 1)
      .def(
          "fits", [](const Health& health, const PyProgram& program) { return health.fits(program.plan()); },
          py::arg("program"), "Whether a program has the layers that are counted here.")
      .def("go_on", &go_on, py::arg("counts"),
           "Take over what was counted of such layers before: a dict of steps, sampled, rows, outputs and weights.")
      .def_readonly("every", &Health::every)
      .def_readonly("steps", &Health::steps)
      .def_readonly("sampled", &Health::sampled)
      .def_readonly("rows", &Health::rows)
      .def_property_readonly("outputs",
                             [](const Health& health) {
                               py::list all;
                               for (const Health::Output& output : health.outputs) {
                                 py::dict one;
                                 one["layer"] = output.layer;
                                 one["curved"] = output.curved;
                                 one["mean"] = numbers(output.mean);
                                 one["squares"] = numbers(output.squares);
                                 one["flat"] = numbers(output.flat);
                                 one["alive"] = numbers(output.alive);
                                 all.append(one);
                               }
                               return all;
                             })
      .def_property_readonly("weights", [](const Health& health) {
        py::list all;
        for (const Health::Weights& weights : health.weights) {
          py::dict one;
          one["layer"] = weights.layer;
          one["gradient"] = weights.gradient;
          one["update"] = weights.update;
          one["weight"] = weights.weight;
          all.append(one);
        }
        return all;
      });
}

}  // namespace evenflow
