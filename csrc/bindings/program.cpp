// Binds the Program class and what its calls return.
#include "bindings/native_program.h"

namespace evenflow {

void bind_program(py::module_& m) {
  py::class_<Progress>(m, "Progress",
                       "What calls of `train` or `evaluate` did: sums, from the call that was not told to go on "
                       "`after` another. One that "
                       "is made of the sums of another goes on as that one would.")
      .def(py::init([](double loss, const std::vector<double>& losses, const std::vector<std::vector<double>>& metrics,
                       std::int64_t rows, const std::vector<double>& weights, std::int64_t steps,
                       std::int64_t next_step) {
             Progress progress;
             progress.loss = loss;
             progress.losses = losses;
             progress.metrics = metrics;
             progress.rows = rows;
             progress.weights = weights;
             progress.steps = steps;
             progress.next_step = next_step;
             return progress;
           }),
           py::kw_only(), py::arg("loss"), py::arg("losses"), py::arg("metrics"), py::arg("rows"), py::arg("weights"),
           py::arg("steps"), py::arg("next_step"))
      .def_readonly("loss", &Progress::loss)
      .def_property_readonly(
          "metrics",
          [](const Progress& progress) {
            py::list states;
            for (const auto& state : progress.metrics)
              states.append(py::array_t<double>(static_cast<py::ssize_t>(state.size()), state.data()));
            return states;
          })
      .def_readonly("rows", &Progress::rows)
      .def_readonly("losses", &Progress::losses)
      .def_readonly("weights", &Progress::weights)
      .def_readonly("steps", &Progress::steps)
      .def_readonly("next_step", &Progress::next_step)
      .def_readonly("seconds", &Progress::seconds)
      .def_readonly("threads", &Progress::threads)
      .def_readonly("gradient_norm", &Progress::gradient_norm)
      .def_readonly("gradient_norms", &Progress::gradient_norms);

  const double forever = std::numeric_limits<double>::infinity();
  py::class_<PyProgram>(m, "Program", R"(A network compiled into a plan over one block of memory.

spec: plain data, as `Sequential.spec()` returns it. A spec without loss or without optimizer is for trainers that have
their own.
dtype: "float32" or "float64".
batch_size: the most rows of one step.
threads: of every call; 0: whatever finishes first, at most `num_threads()`.
fusion: whether the update rule runs in the visit that computes a kernel's gradient. The bits are the same.

`parameters` and `gradients` are flat views of the trainable variables without a copy; docs/design.md has their layout.
Raises ValueError or TypeError for a spec that does not fit together, MemoryError for one that needs more memory than
there is, and RuntimeError when two threads use a program at once.)")
      .def(py::init<const py::object&, const std::string&, std::int64_t, int, bool>(), py::arg("spec"), py::kw_only(),
           py::arg("dtype") = "float32", py::arg("batch_size") = 32, py::arg("threads") = 0, py::arg("fusion") = true)
      .def_property_readonly("spec", &PyProgram::spec)
      .def_property_readonly("dtype", &PyProgram::dtype)
      .def_property_readonly("isa", &PyProgram::isa)
      .def_property_readonly("batch_size", &PyProgram::capacity)
      .def_property_readonly("inputs", &PyProgram::inputs)
      .def_property_readonly("outputs", &PyProgram::outputs)
      .def_property("threads", &PyProgram::threads, &PyProgram::set_threads)
      .def_property("iterations", &PyProgram::iterations, &PyProgram::set_iterations)
      .def_property("momentum_product", &PyProgram::momentum_product, &PyProgram::set_momentum_product)
      .def_property_readonly("parameters", [](py::object self) { return self.cast<PyProgram&>().parameters(self); })
      .def_property_readonly("gradients", [](py::object self) { return self.cast<PyProgram&>().gradients(self); })
      .def_property_readonly("gradient_norms", &PyProgram::gradient_norms)
      .def("__str__", &PyProgram::print, "The plan: operations, shapes, offsets in the arena, panels.")
      .def("plan", &PyProgram::steps, "The plan as data: one dict for each operation.")
      .def("variables", &PyProgram::variables, "(name, shape, trainable) of each variable, in layer order.")
      .def("get", &PyProgram::get, py::arg("name"),
           "A copy of a variable, C order: kernel [inputs, units]; bias, gamma, beta, moving_* [units].")
      .def("set", &PyProgram::set, py::arg("name"), py::arg("value"),
           "Overwrite a variable; `value` has its shape and the program's dtype.")
      .def("gradient", &PyProgram::gradient, py::arg("name"),
           "A copy of a trainable variable's gradient, as the last `backward` left it.")
      .def("set_gradient", &PyProgram::set_gradient, py::arg("name"), py::arg("value"),
           "Overwrite the gradient that the next `update` spends; `value` has the variable's shape and dtype.")
      .def("slot_names", &PyProgram::slot_names,
           "The optimizer's state for each variable: [], [\"momentum\"], [\"m\", \"v\"], ...")
      .def("get_slot", &PyProgram::get_slot, py::arg("slot"), py::arg("name"), "A copy of a slot of a variable.")
      .def("set_slot", &PyProgram::set_slot, py::arg("slot"), py::arg("name"), py::arg("value"),
           "Overwrite a slot of a variable.")
      .def("reset_slots", &PyProgram::reset_slots, "All slots as in a new program.")
      .def("train", &PyProgram::train, py::arg("x"), py::arg("y"), py::kw_only(), py::arg("learning_rate"),
           py::arg("momentum") = py::none(), py::arg("order") = py::none(), py::arg("batch_size") = 0,
           py::arg("first_step") = 0, py::arg("seconds") = forever, py::arg("max_steps") = 0,
           py::arg("after") = py::none(), py::arg("gradient_norms") = py::none(), py::arg("sample_weight") = py::none(),
           py::arg("class_weight") = py::none(), py::arg("health") = nullptr,
           R"(Train on the steps of an epoch, natively, without the GIL.

Step k takes the rows order[k * batch_size : (k + 1) * batch_size] of x [rows, inputs] and y. The last batch may be
shorter. Arrays are read where they lie, of any strides; float32, float64, uint8, and integers for labels.

learning_rate: one rate, or a float64 array with one for each step of the epoch.
momentum: the same for the momentum of SGD and RMSprop, the beta_1 of Adam, Nadam and Adamax; None: as the spec says.
order: rows in the order of training, int64; None: as they lie.
batch_size: at most the program's; 0: the program's.
first_step, max_steps: which steps to do; 0 steps: to the end of the epoch.
seconds: end with the first step whose loss comes later than this.
after: what an earlier call returned, whose sums go on; the sums of many calls are then the bits of one call's.
gradient_norms: a float64 array [steps of the epoch, trainable variables] for the l2 norms of their gradients before
clipping; row k is written by step k, or left as it is where that step only accumulates.
sample_weight: a weight for each row, [rows, 1], read like x, which multiplies the row's loss.
A network with several outputs takes lists of y and of sample_weight, with None for what an output does not have.
class_weight: float64, the same for the rows of classes 0, 1, ...; a row's class is its label, the largest of its targets,
or the whole number that its only target is nearest to.
health: a Health of this program, which goes on counting. The steps' bits are the same.

Raises ValueError or TypeError, before anything is changed, for shapes, types, labels or rates that do not fit.)")
      .def("evaluate", &PyProgram::evaluate, py::arg("x"), py::arg("y"), py::kw_only(), py::arg("batch_size") = 0,
           py::arg("first_step") = 0, py::arg("seconds") = forever, py::arg("max_steps") = 0,
           py::arg("after") = py::none(), py::arg("sample_weight") = py::none(),
           "Sums of loss and metrics in inference mode; arguments as `train` has them.")
      .def("predict", &PyProgram::predict, py::arg("x"), py::arg("out") = py::none(),
           "The network's outputs [rows, units] in inference mode, for any number of rows; into `out` if given. A list "
           "where there are several, here and in `predict_mc`, `forward` and `backward`.")
      .def("predict_mc", &PyProgram::predict_mc, py::arg("x"), py::arg("mean"), py::arg("squares"), py::kw_only(),
           py::arg("seed"), py::arg("first_row") = 0, py::arg("first_pass") = 0, py::arg("passes"),
           R"(Passes with random layers on and all else in inference mode, for any number of rows.

Each pass moves `mean` and `squares`, float64 [rows, units]: the means of the passes so far and the sums of their squared
deviations, zeros before pass 0. The numbers depend on seed, pass and row, which are counted from first_pass and
first_row, so calls may share out rows and passes.)")
      .def(
          "forward", &PyProgram::forward, py::arg("x"), py::kw_only(), py::arg("training") = true,
          py::arg("draw") = py::none(), py::arg("health") = nullptr,
          "The outputs [rows, units] of at most batch_size rows, kept for `backward`. In training, batch normalization "
          "uses the batch's statistics and moves its averages, and random layers draw the numbers of step `draw`, "
          "which "
          "is `iterations` unless given: the same ones until `update`, and those that `train` would draw.")
      .def("backward", &PyProgram::backward, py::arg("dy"),
           "From the gradient of the outputs of the last `forward` to that of its inputs, which is returned [rows, "
           "inputs]; fills `gradients`, those of the spec's penalties included.")
      .def("penalty", &PyProgram::penalty, py::arg("rows"),
           "What the spec's penalties add to the loss: those of weights as they are, and of the activities of the last "
           "`forward` or `predict`, which had so many rows, over these.")
      .def(
          "predictions", &PyProgram::predictions, py::arg("rows"), py::arg("output") = 0,
          "What the metric 'predictions' of an output saw in the last step of `train` or `evaluate`, which had so many "
          "rows.")
      .def("update", &PyProgram::update, py::arg("learning_rate"), py::arg("momentum") = py::none(),
           py::arg("health") = nullptr,
           "One step of the optimizer with the gradients as they are, clipped as the spec says; returns their l2 norm "
           "before clipping. `backward` has summed it up already, unless `gradients` was looked at since, or a view of "
           "it still lives: whoever has that may have changed them. Where the spec accumulates gradients, most calls "
           "only do that, and return the norm of this batch's gradient; the norm in a step is that of the mean. "
           "`momentum`: in place of the spec's, as `train` has it.");
}

}  // namespace evenflow
