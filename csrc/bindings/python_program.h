// The Program class as Python sees it: checks, releases the GIL, runs. One for each executor of plans: `Executor` is
// that of an element type.
#pragma once

#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <sstream>
#include <variant>

#include "bindings/busy.h"
#include "bindings/epoch.h"
#include "bindings/plan.h"
#include "bindings/spec.h"
#include "bindings/switches.h"
#include "program/run.h"

namespace evenflow {

template <template <class> class Executor>
class PyProgramOf {
 public:
  PyProgramOf(const py::object& spec, const std::string& dtype, std::int64_t batch_size, int threads, bool fusion)
      : spec_(SpecReader::copy(spec)), dtype_(dtype) {
    if (batch_size < 1 || batch_size > (1 << 28))
      refuse("Program", "batch_size", "1 to 2^28", std::to_string(batch_size));
    check_threads(threads);
    const bool fused = fusion && fusion_wished();
    const Spec read = SpecReader::read(spec_);
    if (dtype == "float32")
      program_ = make<float>(read, static_cast<int>(batch_size), fused);
    else if (dtype == "float64")
      program_ = make<double>(read, static_cast<int>(batch_size), fused);
    else
      refuse("Program", "dtype", "'float32' or 'float64'", "'" + dtype + "'");
    set_threads(threads);
  }

  template <class F>
  auto visit(F f) const {
    return std::visit([&](const auto& program) { return f(*program); }, program_);
  }
  const Plan& plan() const {
    return *visit([](const auto& p) -> const Plan* { return &p.plan(); });
  }

  py::dict spec() const { return py::module_::import("copy").attr("deepcopy")(spec_); }
  const std::string& dtype() const { return dtype_; }
  std::string isa() const {
    return visit([](const auto& p) { return std::string(p.kernels().isa); });
  }
  int threads() const {
    return visit([](const auto& p) { return p.threads.load(); });
  }
  void set_threads(int threads) {
    check_threads(threads);
    visit([&](auto& p) { p.threads.store(threads); });
  }
  std::int64_t iterations() const {
    return visit([](const auto& p) { return p.iterations; });
  }
  void set_iterations(std::int64_t value) {
    if (value < 0) refuse("Program", "iterations", "0 or more", std::to_string(value));
    const Busy busy(busy_);
    visit([&](auto& p) { p.iterations = value; });
  }
  // The product of Nadam's momenta so far, which depends on those that steps had.
  py::object momentum_product() const {
    if (!moves_momentum()) return py::none();
    return py::float_(visit([](const auto& p) {
      if (p.momenta.step() == p.step()) return p.momenta.product();
      Momenta constant;  // the number of steps was set
      return p.momenta_until(constant, p.step(), nullptr);
    }));
  }
  void set_momentum_product(const py::object& value) {
    if (!moves_momentum()) {
      if (!value.is_none())
        refuse("Program", "momentum_product", "None, since no other optimizer than nadam has it",
               text(py::repr(value)));
      return;
    }
    double product = 0;
    try {
      product = value.cast<double>();
    } catch (const py::cast_error&) {
      refuse_type("Program", "momentum_product", "a number", text(py::repr(value)));
    }
    check_range("Program", "momentum_product", product, fraction);
    const Busy busy(busy_);
    visit([&](auto& p) { p.momenta = Momenta(p.step(), product); });
  }

  // variables

  py::list variables() const {
    py::list all;
    for (const Variable& v : plan().variables) all.append(py::make_tuple(v.name, shape(v), v.trainable));
    return all;
  }
  py::array get(const std::string& name) const { return read("get", name, 0); }
  py::array gradient(const std::string& name) const { return read("gradient", name, 1); }
  py::array get_slot(const std::string& slot, const std::string& name) const {
    return read("get_slot", name, 2 + slot_index("get_slot", slot));
  }
  void set(const std::string& name, const py::object& value) { write("set", name, value, 0); }
  void set_gradient(const std::string& name, const py::object& value) { write("set_gradient", name, value, 1); }
  void set_slot(const std::string& slot, const std::string& name, const py::object& value) {
    write("set_slot", name, value, 2 + slot_index("set_slot", slot));
  }
  const std::vector<std::string>& slot_names() const { return plan().slots; }
  void reset_slots() {
    const Busy busy(busy_);
    visit([](auto& p) { p.reset_slots(); });
  }
  void forget_data() {
    const Busy busy(busy_);
    visit([](auto& p) { p.forget_data(); });
  }
  py::array parameters(py::object self) const {
    return visit(
        [&](auto& p) { return py::array(py::dtype(dtype_), {p.plan().trainable_size}, {}, p.parameters(), self); });
  }
  // Whoever has this view, or a view of it, may write the gradients: then their norms are not known any more.
  py::array gradients(py::object self) {
    lent_ = true;
    py::object known = view_.is_none() ? py::none() : view_();
    if (known.is_none()) {
      known = visit(
          [&](auto& p) { return py::array(py::dtype(dtype_), {p.plan().trainable_size}, {}, p.gradients(), self); });
      view_ = py::weakref(known);
    }
    return known;
  }

  // epochs

  Progress train(const py::object& x, const py::object& y, const py::object& learning_rate, const py::object& momentum,
                 const py::object& order, std::int64_t batch_size, std::int64_t first_step, double seconds,
                 std::int64_t max_steps, const Progress* after, const py::object& gradient_norms,
                 const py::object& sample_weight, const py::object& class_weight, Health* health) {
    return epoch("train", x, y, &learning_rate, momentum, order, batch_size, first_step, seconds, max_steps, after,
                 gradient_norms, {sample_weight, class_weight}, health);
  }
  Progress evaluate(const py::object& x, const py::object& y, std::int64_t batch_size, std::int64_t first_step,
                    double seconds, std::int64_t max_steps, const Progress* after, const py::object& sample_weight) {
    return epoch("evaluate", x, y, nullptr, py::none(), py::none(), batch_size, first_step, seconds, max_steps, after,
                 py::none(), {sample_weight, py::none()}, nullptr);
  }

  py::object predict(const py::object& x, const py::object& out) {
    const Feeds feeds = features("predict", x);
    const std::vector<py::array> y =
        out.is_none() ? new_outputs(feeds[0].rows) : arrays_of("predict", "out", out, plan().heads.size(), "output");
    if (!out.is_none()) check_apart("predict", y, arrays_of("predict", "x", x, plan().spec.inputs.size(), "input"));
    visit([&](auto& p) {
      const auto to = each_output<element<decltype(p)>>("predict", "out", y, feeds[0].rows, true);
      const Busy busy(busy_);
      py::gil_scoped_release nogil;
      p.predict(feeds, to);
    });
    return as_given(y);
  }

  void predict_mc(const py::object& x, const py::object& mean, const py::object& squares, const py::object& seed,
                  std::int64_t first_row, std::int64_t first_pass, std::int64_t passes) {
    const Feeds feeds = features("predict_mc", x);
    const std::size_t heads = plan().heads.size();
    std::vector<int> units;
    for (std::size_t h = 0; h < heads; ++h) units.push_back(plan().units(h));
    const Passes given = passes_of(arrays_of("predict_mc", "mean", mean, heads, "output"),
                                   arrays_of("predict_mc", "squares", squares, heads, "output"), seed, first_row,
                                   first_pass, passes, feeds[0].rows, units);
    visit([&](auto& p) {
      const Busy busy(busy_);
      py::gil_scoped_release nogil;
      p.predict_mc(feeds, given.seed, first_row, first_pass, passes, given.mean, given.squares);
    });
  }

  // steps in pieces

  py::object forward(const py::object& x, bool training, const py::object& draw, Health* health) {
    const Feeds feeds = features("forward", x);
    check_health(plan(), "forward", health);
    check_rows("forward", "x", feeds[0].rows);
    const std::uint64_t step = draw.is_none() ? static_cast<std::uint64_t>(iterations())
                                              : natural("forward", "draw", draw, Counter::steps - 1);
    const std::vector<py::array> y = new_outputs(feeds[0].rows);
    visit([&](auto& p) {
      const auto to = each_output<element<decltype(p)>>("forward", "y", y, feeds[0].rows, true);
      const Busy busy(busy_);
      py::gil_scoped_release nogil;
      p.forward(feeds, to, training, step, health);
    });
    return as_given(y);
  }

  py::object backward(const py::object& gradient) {
    const std::vector<py::array> dy = arrays_of("backward", "dy", gradient, plan().heads.size(), "output");
    const int rows = visit([](const auto& p) { return p.forward_rows; });
    if (rows == 0)
      throw std::runtime_error("backward: expected a forward call before, received none since the last step");
    py::list dx;
    for (int features : plan().spec.inputs) dx.append(py::array(py::dtype(dtype_), {rows, features}));
    visit([&](auto& p) {
      using T = element<decltype(p)>;
      std::vector<const T*> from;
      for (T* one : each_output<T>("backward", "dy", dy, rows, false)) from.push_back(one);
      std::vector<T*> to;
      for (const auto& one : dx) to.push_back(static_cast<T*>(py::cast<py::array>(one).mutable_data()));
      const Busy busy(busy_);
      give_back_gradients();
      py::gil_scoped_release nogil;
      p.backward(from, to);
    });
    lent_ = !view_.is_none() && !view_().is_none();
    return dx.size() == 1 ? py::object(dx[0]) : dx;
  }

  double update(double learning_rate, const py::object& momentum, Health* health) {
    check_health(plan(), "update", health);
    if (!plan().spec.optimizer.optimizer)
      refuse("update", "learning_rate", "a spec with an optimizer", "a spec without one");
    if (!std::isfinite(learning_rate))
      refuse("update", "learning_rate", "a finite number", std::to_string(learning_rate));
    const std::optional<double> moved = one_momentum("update", *plan().spec.optimizer.optimizer, momentum);
    return visit([&](auto& p) {
      const Busy busy(busy_);
      give_back_gradients();
      py::gil_scoped_release nogil;
      if (lent_) p.norms_known = false;
      return p.update(learning_rate, moved, health);
    });
  }
  double penalty(std::int64_t rows) {
    check_rows("penalty", "rows", rows);
    return visit([&](auto& p) {
      const Busy busy(busy_);
      return p.penalty(static_cast<int>(rows));
    });
  }
  py::array predictions(std::int64_t rows, std::int64_t output) const {
    if (output < 0 || output >= static_cast<std::int64_t>(plan().heads.size()))
      refuse("predictions", "output", "0 to " + std::to_string(plan().heads.size() - 1), std::to_string(output));
    const auto head = static_cast<std::size_t>(output);
    const auto& metrics = plan().spec.outputs[head].metrics;
    if (std::none_of(metrics.begin(), metrics.end(), [](const MetricSpec& m) { return m.sees_predictions(); }))
      refuse("predictions", "spec", "a metric of the kind 'predictions'", "none");
    check_rows("predictions", "rows", rows);
    py::array out(py::dtype(dtype_), {rows, static_cast<std::int64_t>(plan().units(head))});
    visit([&](auto& p) {
      const Busy busy(busy_);
      p.predictions(head, static_cast<element<decltype(p)>*>(out.mutable_data()), static_cast<int>(rows));
    });
    return out;
  }
  // By variable; None where nobody asked for them.
  py::object gradient_norms() const {
    py::dict all;
    return visit([&](const auto& p) -> py::object {
      if (!p.norms_known) return py::none();
      std::size_t i = 0;
      const auto norms = p.gradient_norms();
      for (const Variable& v : plan().variables)
        if (v.trainable) all[py::str(v.name)] = norms[i++];
      return all;
    });
  }

  // the plan

  py::list steps() const {
    return visit(
        [](const auto& p) { return plan_steps(p.plan(), activation_names(p.kernels()), noise_names(p.kernels())); });
  }
  std::string print() const {
    return visit([&](const auto& p) {
      return plan_text(p.plan(), activation_names(p.kernels()), noise_names(p.kernels()), dtype_, p.kernels().isa);
    });
  }

  std::int64_t capacity() const { return plan().capacity; }
  py::object inputs() const {
    const std::vector<int>& all = plan().spec.inputs;
    return all.size() == 1 ? py::cast(all[0]) : py::tuple(py::cast(all));
  }
  py::object outputs() const {
    py::list all;
    for (std::size_t h = 0; h < plan().heads.size(); ++h) all.append(plan().units(h));
    return all.size() == 1 ? py::object(all[0]) : py::tuple(all);
  }

 private:
  template <class P>
  using element = std::remove_pointer_t<decltype(std::declval<P>().parameters())>;

  template <class T>
  static std::shared_ptr<Executor<T>> make(const Spec& spec, int batch_size, bool fused) {
    const Kernels<T>& k = kernels<T>();
    check_id_counts<T>(spec);
    return std::make_shared<Executor<T>>(Plan(spec, Executor<T>::layout(k), batch_size, known_of(k)), k, fused);
  }

  static py::tuple shape(const Variable& v) { return py::tuple(py::cast(v.dims)); }

  std::size_t slot_index(const std::string& function, const std::string& slot) const {
    return index_of(function, "slot", slot, slot_names());
  }
  const Variable& variable(const std::string& function, const std::string& name, bool trainable) const {
    std::vector<std::string> names;
    for (const Variable& v : plan().variables)
      if (v.trainable || !trainable) names.push_back(v.name);
    index_of(function, "name", name, names);
    return plan().variables[static_cast<std::size_t>(plan().find(name))];
  }
  // part 0: parameters, 1: gradients, from 2: slots
  template <class P>
  static auto* base(P& p, std::size_t part) {
    return part == 0 ? p.parameters() : part == 1 ? p.gradients() : p.slot(static_cast<int>(part) - 2);
  }
  py::array read(const std::string& function, const std::string& name, std::size_t part) const {
    const Variable& v = variable(function, name, part > 0);
    const std::vector<py::ssize_t> dims(v.dims.begin(), v.dims.end());
    py::array out(py::dtype(dtype_), dims);
    const Busy busy(busy_);
    visit([&](auto& p) {
      p.unpack(v, base(p, part) + v.offset, static_cast<element<decltype(p)>*>(out.mutable_data()));
    });
    return out;
  }
  void write(const std::string& function, const std::string& name, const py::object& value, std::size_t part) {
    const Variable& v = variable(function, name, part > 0);
    const py::array from = array_of(function, "value", value);
    visit([&](auto& p) {
      using T = element<decltype(p)>;
      const T* data = dense<T>(function + " '" + name + "'", "value", from, {v.dims.begin(), v.dims.end()});
      const Busy busy(busy_);
      p.pack(v, base(p, part) + v.offset, data);
      if (part != 1) return;
      p.norms_known = false;
      p.touch_tables();
    });
  }

  std::vector<py::array> new_outputs(std::int64_t rows) const {
    std::vector<py::array> all;
    for (std::size_t h = 0; h < plan().heads.size(); ++h)
      all.emplace_back(py::dtype(dtype_), std::vector<py::ssize_t>{rows, plan().units(h)});
    return all;
  }
  template <class T>
  std::vector<T*> each_output(const char* function, const char* argument, const std::vector<py::array>& arrays,
                              std::int64_t rows, bool writable) const {
    std::vector<T*> all;
    for (std::size_t h = 0; h < arrays.size(); ++h)
      all.push_back(dense<T>(function, argument, arrays[h], {rows, plan().units(h)}, writable));
    return all;
  }
  Feeds features(const char* function, const py::object& x) const { return checked_feeds(function, x, plan()); }
  // Whoever has a view of the gradients may have written those of a table's other rows.
  void give_back_gradients() {
    if (lent_) visit([](auto& p) { p.touch_tables(); });
  }
  void check_rows(const char* function, const char* argument, std::int64_t rows) const {
    if (rows < 1 || rows > plan().capacity)
      refuse(function, argument, "1 to " + std::to_string(plan().capacity) + " rows", std::to_string(rows));
  }

  struct Weights {
    py::object rows, classes;
  };

  Progress epoch(const char* function, const py::object& x, const py::object& y, const py::object* learning_rate,
                 const py::object& momentum, const py::object& order, std::int64_t batch_size, std::int64_t first_step,
                 double seconds, std::int64_t max_steps, const Progress* after, const py::object& norms,
                 const Weights& weighing, Health* health) {
    const Plan& p = plan();
    check_health(p, function, health);
    EpochData data(function, p, x, y, weighing.rows);
    if (batch_size == 0) batch_size = p.capacity;
    if (batch_size < 1 || batch_size > p.capacity)
      refuse(function, "batch_size", "1 to the capacity " + std::to_string(p.capacity), std::to_string(batch_size));
    if (std::isnan(seconds)) refuse(function, "seconds", "a number", "nan");
    if (max_steps < 0) refuse(function, "max_steps", "0 or more", std::to_string(max_steps));
    if (after != nullptr) check_after(p, function, *after);

    if (!order.is_none()) data.put_in_order(function, order);
    const std::int64_t steps = (data.rows + batch_size - 1) / batch_size;
    if (first_step < 0 || first_step > steps)
      refuse(function, "first_step", "0 to " + std::to_string(steps), std::to_string(first_step));

    Run run;
    double one_rate = 0, one_momentum = 0;
    run.batch_size = static_cast<int>(batch_size);
    run.first_step = first_step;
    run.max_steps = max_steps;
    run.after = after;
    run.seconds = seconds;
    run.training = learning_rate != nullptr;
    run.health = health;
    run.weights = data.weights_of_outputs();
    if (!weighing.classes.is_none()) {
      if (p.heads.size() > 1) refuse(function, "class_weight", "None for a network with several outputs", "an array");
      const py::array table = array_of(function, "class_weight", weighing.classes);
      run.class_weights = dense<double>(function, "class_weight", table, {-1});
      run.classes = static_cast<int>(table.shape(0));
    }
    if (run.training) {
      if (!p.spec.optimizer.optimizer)
        refuse(function, "learning_rate", "a spec with an optimizer", "a spec without one");
      run.learning_rate = per_step(function, "learning_rate", *learning_rate, steps, one_rate);
      if (!momentum.is_none()) {
        run.momentum = per_step(function, "momentum", momentum, steps, one_momentum);
        check_momentum(function, *p.spec.optimizer.optimizer, run.momentum, steps);
      }
      if (!norms.is_none()) {
        run.norms = dense<double>(function, "gradient_norms", array_of(function, "gradient_norms", norms),
                                  {steps, p.trained}, true);
      }
    }
    const Busy busy(busy_);
    if (first_step == 0) data.check_values(function);
    give_back_gradients();
    return visit([&](auto& program) {
      py::gil_scoped_release nogil;
      return program.run(data.inputs, data.targets, run);
    });
  }

  bool moves_momentum() const {
    const auto& optimizer = plan().spec.optimizer.optimizer;
    return optimizer && std::visit([](const auto& o) { return o.momentum_changes; }, *optimizer);
  }

  py::dict spec_;
  std::string dtype_;
  py::object view_ = py::none();  // a weak reference to the gradients' view, while there is one
  bool lent_ = false;             // since before the last `backward` or after it
  std::variant<std::shared_ptr<Executor<float>>, std::shared_ptr<Executor<double>>> program_;
  mutable std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace evenflow
