// Eager update rules and clipping, in place.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bindings/eager.h"
#include "bindings/names.h"

namespace evenflow {

namespace {

// What every step is given besides arrays and hyper-parameters.
struct Call {
  const char* function;
  double learning_rate, weight_decay, coupled_decay;
  std::int64_t step = 1;                        // of rules that count
  std::optional<double> momentum_product = {};  // of Nadam's steps before this one
};
struct Argument {
  const char* name;
  const py::object& object;  // an array, or a list of them
};

// Arrays of an update, checked: variable after variable, each with its gradient and slots.
class Variables {
 public:
  Variables(const char* function, const std::vector<Argument>& given) : function_(function), given_(given) {
    const bool listed = is_list(given[0].object);
    for (const Argument& one : given) {
      if (is_list(one.object) != listed)
        refuse_type(function, one.name, listed ? "a list, as p is" : "an array, as p is",
                    text(py::type::handle_of(one.object).attr("__name__")));
      std::vector<py::array>& all = arrays_.emplace_back();
      if (!listed) {
        all.push_back(array(function, one.name, one.object, -1));
        continue;
      }
      for (const auto& a : py::reinterpret_borrow<py::sequence>(one.object))
        all.push_back(array(function, one.name, py::reinterpret_borrow<py::object>(a), -1));
      if (all.size() != arrays_[0].size())
        refuse(function, one.name, std::to_string(arrays_[0].size()) + " arrays, as p has", std::to_string(all.size()));
    }
  }
  bool empty() const { return arrays_[0].empty(); }
  const py::array& first() const { return arrays_[0][0]; }

  // Same shapes and types, writable where written, none overlapping another.
  template <class T>
  void check() {
    struct Span {
      std::uintptr_t begin, end;
      std::size_t role;
    };
    std::vector<Span> spans;
    for (std::size_t v = 0; v < arrays_[0].size(); ++v) {
      const py::array& p = arrays_[0][v];
      const std::vector<py::ssize_t> shape(p.shape(), p.shape() + p.ndim());
      for (std::size_t role = 0; role < given_.size(); ++role) {
        const auto* data = dense<T>(function_, given_[role].name, arrays_[role][v], shape, role != 1);
        const auto begin = reinterpret_cast<std::uintptr_t>(data);
        pointers_.push_back(begin);
        if (p.nbytes() > 0) spans.push_back({begin, begin + static_cast<std::uintptr_t>(p.nbytes()), role});
      }
      sizes_.push_back(p.size());
    }
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < spans.size(); ++i)
      if (spans[i].begin < spans[i - 1].end) {
        const std::size_t later = std::max(spans[i].role, spans[i - 1].role);
        const std::size_t other = std::min(spans[i].role, spans[i - 1].role);
        refuse(function_, given_[later].name, "memory of its own",
               std::string("memory shared with '") + given_[other].name + "'");
      }
  }
  // run(pointers, n) for slices of the variables, shared out to a team.
  template <class T, class Run>
  void each_slice(Run run) const {
    std::ptrdiff_t total = 0;
    for (const std::ptrdiff_t n : sizes_) total += n;
    const auto bytes = static_cast<double>(total) * sizeof(T) * (2 * static_cast<double>(given_.size()) - 1);
    team::run(eager_threads(bytes * nanoseconds_of_byte), [&](int thread, int threads) {
      for (std::size_t v = 0; v < sizes_.size(); ++v) {
        const Slice own(sizes_[v], thread, threads);
        if (own.first >= own.end) continue;
        T* at[most_slots + 2] = {};
        for (std::size_t role = 0; role < given_.size(); ++role)
          at[role] = reinterpret_cast<T*>(pointers_[v * given_.size() + role]) + own.first;
        run(at, own.end - own.first);
      }
    });
  }

 private:
  static bool is_list(const py::object& o) { return py::isinstance<py::list>(o) || py::isinstance<py::tuple>(o); }

  const char* function_;
  const std::vector<Argument>& given_;
  std::vector<std::vector<py::array>> arrays_;  // of each argument
  std::vector<std::uintptr_t> pointers_;
  std::vector<std::ptrdiff_t> sizes_;
};

// One step of an optimizer's rule on p, g and the rule's slots.
template <class Optimizer>
void step(const Call& call, const Optimizer& optimizer, const std::vector<Argument>& given) {
  struct Check {
    const char* function;
    void operator()(const char* name, double value, Range range) const { check_range(function, name, value, range); }
    void operator()(const char*, bool) const {}
  };
  if (call.step < 1) refuse(call.function, "step", "1 or more", std::to_string(call.step));
  check_range(call.function, "learning_rate", call.learning_rate, {-1e300, 1e300});
  check_range(call.function, "weight_decay", call.weight_decay, nonnegative);
  check_range(call.function, "coupled_decay", call.coupled_decay, nonnegative);
  optimizer.each(optimizer, Check{call.function});
  Variables variables(call.function, given);
  if (variables.empty()) return;
  by_type(call.function, "p", variables.first(), [&](auto type) {
    using T = decltype(type);
    variables.check<T>();
    py::gil_scoped_release nogil;
    Momenta before;
    if (call.momentum_product) before = Momenta(call.step - 1, *call.momentum_product);
    const double momenta = before.until(optimizer, call.step, nullptr);
    const Moment moment{call.learning_rate, static_cast<double>(call.step), momenta};
    const Decay decay{call.weight_decay * call.learning_rate, call.coupled_decay};
    optimizer.rule(moment, [&](const auto& rule) {
      variables.each_slice<T>(
          [&](T* const* at, std::ptrdiff_t n) { kernels<T>().update(rule, {}, decay, at[0], at[1], at + 2, n); });
    });
  });
}

void sgd_step(const py::object& p, const py::object& g, const py::object& m, double learning_rate, double momentum,
              bool nesterov, double weight_decay, double coupled_decay, double dampening, std::int64_t number,
              bool torch) {
  const char* name = "sgd_step";
  if (momentum != 0 && m.is_none()) refuse_type(name, "m", "an array, since momentum is not 0", "None");
  if (dampening != 0 && !torch) refuse(name, "dampening", "0 without torch", number_text(dampening));
  std::vector<Argument> arrays{{"p", p}, {"g", g}};
  if (!m.is_none()) arrays.push_back({"m", m});
  step({name, learning_rate, weight_decay, coupled_decay, number},
       SgdOptimizer{{}, momentum, nesterov, torch, dampening}, arrays);
}

void adam_step(const py::object& p, const py::object& g, const py::object& m, const py::object& v,
               const py::object& v_max, std::int64_t number, double learning_rate, double beta_1, double beta_2,
               double epsilon, double weight_decay, double coupled_decay, bool torch) {
  std::vector<Argument> arrays{{"p", p}, {"g", g}, {"m", m}, {"v", v}};
  if (!v_max.is_none()) arrays.push_back({"v_max", v_max});
  step({"adam_step", learning_rate, weight_decay, coupled_decay, number},
       AdamOptimizer{{}, beta_1, beta_2, epsilon, !v_max.is_none(), torch}, arrays);
}

void nadam_step(const py::object& p, const py::object& g, const py::object& m, const py::object& v, std::int64_t number,
                double learning_rate, double beta_1, double beta_2, double epsilon, double momentum_decay,
                double weight_decay, double coupled_decay, std::optional<double> momentum_product) {
  const char* name = "nadam_step";
  if (momentum_product) check_range(name, "momentum_product", *momentum_product, fraction);
  step({name, learning_rate, weight_decay, coupled_decay, number, momentum_product},
       NadamOptimizer{{}, beta_1, beta_2, epsilon, momentum_decay}, {{"p", p}, {"g", g}, {"m", m}, {"v", v}});
}

void adamax_step(const py::object& p, const py::object& g, const py::object& m, const py::object& u,
                 std::int64_t number, double learning_rate, double beta_1, double beta_2, double epsilon,
                 double weight_decay, double coupled_decay, bool torch) {
  step({"adamax_step", learning_rate, weight_decay, coupled_decay, number},
       AdamaxOptimizer{{}, beta_1, beta_2, epsilon, torch}, {{"p", p}, {"g", g}, {"m", m}, {"u", u}});
}

void adagrad_step(const py::object& p, const py::object& g, const py::object& accumulator, double learning_rate,
                  double epsilon, double weight_decay, double coupled_decay, bool torch) {
  AdagradOptimizer optimizer;
  optimizer.epsilon = epsilon;
  optimizer.torch = torch;
  step({"adagrad_step", learning_rate, weight_decay, coupled_decay}, optimizer,
       {{"p", p}, {"g", g}, {"accumulator", accumulator}});
}

void adadelta_step(const py::object& p, const py::object& g, const py::object& grads, const py::object& deltas,
                   double learning_rate, double rho, double epsilon, double weight_decay, double coupled_decay) {
  step({"adadelta_step", learning_rate, weight_decay, coupled_decay}, AdadeltaOptimizer{{}, rho, epsilon},
       {{"p", p}, {"g", g}, {"accumulated_grad", grads}, {"accumulated_delta_var", deltas}});
}

void rmsprop_step(const py::object& p, const py::object& g, const py::object& velocity, const py::object& m,
                  const py::object& average, double learning_rate, double rho, double momentum, double epsilon,
                  double weight_decay, double coupled_decay, bool torch) {
  const char* name = "rmsprop_step";
  if (m.is_none() != (momentum == 0))
    refuse_type(name, "m", m.is_none() ? "an array, since momentum is not 0" : "None, since momentum is 0",
                m.is_none() ? "None" : "something else");
  std::vector<Argument> arrays{{"p", p}, {"g", g}, {"velocity", velocity}};
  if (!m.is_none()) arrays.push_back({"m", m});
  if (!average.is_none()) arrays.push_back({"average_gradient", average});
  step({name, learning_rate, weight_decay, coupled_decay},
       RmspropOptimizer{{}, rho, momentum, epsilon, !average.is_none(), torch}, arrays);
}

void lion_step(const py::object& p, const py::object& g, const py::object& m, double learning_rate, double beta_1,
               double beta_2, double weight_decay, double coupled_decay) {
  step({"lion_step", learning_rate, weight_decay, coupled_decay}, LionOptimizer{{}, beta_1, beta_2},
       {{"p", p}, {"g", g}, {"m", m}});
}

// The square sum of one array, in a program's order: block after block, panel after panel of a matrix, or of a vector.
template <class T>
double square_sum(const char* function, const py::array& g) {
  const T* from = dense<T>(function, "g", g, std::vector<py::ssize_t>(g.shape(), g.shape() + g.ndim()), true);
  const auto& k = kernels<T>();
  const int features = g.ndim() == 0 ? 1 : static_cast<int>(g.shape(g.ndim() - 1));
  if (g.size() == 0) return 0;
  const py::gil_scoped_release nogil;
  const Tensor<T> panels(k, static_cast<int>(g.size() / features), features, from);
  double total = 0;
  for (int p = 0; p < k.layout.panels(features); ++p) {
    const int width = panels.width(p);
    double sum = 0;
    for (int first = 0; first < panels.rows; first += k.layout.full())
      sum += k.square_sum(panels.panel(p) + static_cast<std::ptrdiff_t>(first) * width,
                          static_cast<std::ptrdiff_t>(std::min(k.layout.full(), panels.rows - first)) * width);
    total += sum;
  }
  return total;
}

void clip(const char* function, const py::array& g, Clip how) {
  by_type(function, "g", g, [&](auto type) {
    using T = decltype(type);
    T* data;
    const std::ptrdiff_t n = whole_size<T>(function, "g", g, &data, true);
    const py::gil_scoped_release nogil;
    if (how.active()) kernels<T>().clip(data, n, how);
  });
}
void check_limit(const char* function, double limit) {
  if (!(limit > 0)) refuse(function, "limit", "a number above 0", number_text(limit));
}

void clip_by_value(const py::object& g_, double limit) {
  const char* name = "clip_by_value";
  check_limit(name, limit);
  clip(name, array(name, "g", g_, -1), {1, limit});
}

double clip_all(const char* name, const std::vector<py::array>& gs, double limit, double epsilon) {
  check_limit(name, limit);
  check_range(name, "epsilon", epsilon, nonnegative);
  double total = 0;
  for (std::size_t i = 0; i < gs.size(); ++i) {
    total += by_type(name, "g", gs[i], [&](auto type) { return square_sum<decltype(type)>(name, gs[i]); });
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(gs[i], gs[j])) refuse(name, "gs", "arrays that share no memory", "overlapping arrays");
  }
  const double norm = std::sqrt(total);
  Clip how;
  how.scale = norm + epsilon <= limit ? 1 : limit / (norm + epsilon);
  for (const auto& g : gs) clip(name, g, how);
  return norm;
}
double clip_by_norm(const py::object& g_, double limit, double epsilon) {
  const char* name = "clip_by_norm";
  return clip_all(name, {array(name, "g", g_, -1)}, limit, epsilon);
}
double clip_by_global_norm(const py::sequence& gs, double limit, double epsilon) {
  const char* name = "clip_by_global_norm";
  std::vector<py::array> all;
  for (const auto& g : gs) all.push_back(array(name, "gs", py::reinterpret_borrow<py::object>(g), -1));
  return clip_all(name, all, limit, epsilon);
}

}  // namespace

void bind_updates(py::module_& m) {
  m.def("sgd_step", &sgd_step, py::arg("p"), py::arg("g"), py::arg("m"), py::kw_only(), py::arg("learning_rate"),
        py::arg("momentum") = 0.0, py::arg("nesterov") = false, py::arg("weight_decay") = 0.0,
        py::arg("coupled_decay") = 0.0, py::arg("dampening") = 0.0, py::arg("step") = 1, py::arg("torch") = false);
  m.def("adam_step", &adam_step, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::arg("v_max") = py::none(),
        py::kw_only(), py::arg("step"), py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"),
        py::arg("epsilon"), py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0, py::arg("torch") = false);
  m.def("nadam_step", &nadam_step, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::kw_only(),
        py::arg("step"), py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"),
        py::arg("momentum_decay") = 1.0, py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0,
        py::arg("momentum_product") = py::none());
  m.def("adamax_step", &adamax_step, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("u"), py::kw_only(),
        py::arg("step"), py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"),
        py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0, py::arg("torch") = false);
  m.def("adagrad_step", &adagrad_step, py::arg("p"), py::arg("g"), py::arg("accumulator"), py::kw_only(),
        py::arg("learning_rate"), py::arg("epsilon"), py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0,
        py::arg("torch") = false);
  m.def("adadelta_step", &adadelta_step, py::arg("p"), py::arg("g"), py::arg("accumulated_grad"),
        py::arg("accumulated_delta_var"), py::kw_only(), py::arg("learning_rate"), py::arg("rho"), py::arg("epsilon"),
        py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0);
  m.def("rmsprop_step", &rmsprop_step, py::arg("p"), py::arg("g"), py::arg("velocity"), py::arg("m") = py::none(),
        py::arg("average_gradient") = py::none(), py::kw_only(), py::arg("learning_rate"), py::arg("rho"),
        py::arg("momentum") = 0.0, py::arg("epsilon"), py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0,
        py::arg("torch") = false);
  m.def("lion_step", &lion_step, py::arg("p"), py::arg("g"), py::arg("m"), py::kw_only(), py::arg("learning_rate"),
        py::arg("beta_1"), py::arg("beta_2"), py::arg("weight_decay") = 0.0, py::arg("coupled_decay") = 0.0);
  m.def("clip_by_value", &clip_by_value, py::arg("g"), py::arg("limit"));
  m.def("clip_by_norm", &clip_by_norm, py::arg("g"), py::arg("limit"), py::kw_only(), py::arg("epsilon") = 0.0);
  m.def("clip_by_global_norm", &clip_by_global_norm, py::arg("gs"), py::arg("limit"), py::kw_only(),
        py::arg("epsilon") = 0.0);
}

}  // namespace evenflow
