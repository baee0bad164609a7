// Eager kernels of dense layers, alone and fused with what follows them.
#include <pybind11/stl.h>

#include "bindings/activation_name.h"
#include "bindings/fused.h"
#include "bindings/noise.h"
#include "bindings/packed_weights.h"

namespace evenflow {

namespace {

template <class T>
const T* vector_of(const char* function, const char* name, const py::object& given, int units, py::object& keep) {
  if (given.is_none()) return nullptr;
  const py::array a = array(function, name, given, 1);
  keep = a;
  return dense<T>(function, name, a, {units});
}

py::object dense_forward(const py::object& x_, const py::object& w_, const py::object& b_, bool transposed,
                         const py::object& out) {
  const char* name = "dense_forward";
  const py::array x = array(name, "x", x_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    py::object keep, bias;
    const Weights<T> w = weights_of<T>(name, w_, inputs, transposed, keep);
    const T* b = vector_of<T>(name, "b", b_, w.units, bias);
    Outputs outputs(name, out, 1);
    T* y = outputs.add<T>({rows, w.units}, {&x, &keep, &bias});
    {
      py::gil_scoped_release nogil;
      Chain<T> chain(w.units);
      chain.add_bias(b);
      fused_forward<T>(w, from, rows, chain, y, nullptr);
    }
    return outputs.one();
  });
}

py::tuple dense_backward(const py::object& dy_, const py::object& x_, const py::object& w_, bool transposed,
                         bool input_gradient, const py::object& out) {
  const char* name = "dense_backward";
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    py::object keep;
    const Weights<T> w = weights_of<T>(name, w_, inputs, transposed, keep);
    const T* gradient = dense<T>(name, "dy", dy, {rows, w.units});
    Outputs outputs(name, out, 3);
    T* dx = nullptr;
    if (input_gradient)
      dx = outputs.add<T>({rows, inputs}, {&dy, &x, &keep});
    else
      outputs.skip();
    T* dw = transposed ? outputs.add<T>({w.units, inputs}, {&dy, &x, &keep})
                       : outputs.add<T>({inputs, w.units}, {&dy, &x, &keep});
    T* db = outputs.add<T>({w.units}, {&dy, &x, &keep});
    {
      py::gil_scoped_release nogil;
      Chain<T> chain(w.units);
      fused_backward<T>(w, gradient, from, nullptr, rows, chain, dx, dw);
      std::copy_n(chain.dbias.begin(), w.units, db);
    }
    return outputs.all();
  });
}

// The arguments of both fused kernels beyond their arrays.
struct Fused {
  const char* function;
  Activation activation;
  double epsilon;
  Noise noise;
  Draw draw{};

  Fused(const char* name, const std::string& kind, double e, double rate, const py::object& seed,
        const py::object& step, const py::object& layer, const py::object& row, const py::kwargs& parameters)
      : function(name), activation(find_activation(name, "activation", kind, parameters)), epsilon(e) {
    check_epsilon(function, epsilon);
    if (!(rate >= 0 && rate < 1)) refuse(function, "rate", "0 or more, below 1", number_text(rate));
    if (rate == 0) return;
    noise = noise_of(function, "dropout", py::dict(py::arg("rate") = rate), seed);
    draw = {noise.seed, natural(function, "step", step, Counter::steps - 1),
            static_cast<std::uint32_t>(natural(function, "layer", layer, Counter::layers - 1)),
            static_cast<std::uint32_t>(natural(function, "row", row, 0xffffffffu)), 0};
  }
  template <class T>
  Chain<T> chain(int units) const {
    Chain<T> made(units);
    made.activation = activation.index;
    made.parameters = activation.parameters;
    if (noise.kind >= 0) made.noise = &noise;
    made.draw = draw;
    return made;
  }
};

// gamma, beta, mean and variance, of which all or the first two or none are there.
template <class T>
struct Normalizing {
  py::object keep[4];
  const T* vectors[4];

  Normalizing(const char* function, int units, const py::object& gamma, const py::object& beta, const py::object& mean,
              const py::object& variance) {
    const char* names[] = {"gamma", "beta", "mean", "variance"};
    const py::object* given[] = {&gamma, &beta, &mean, &variance};
    for (int i = 0; i < 4; ++i) vectors[i] = vector_of<T>(function, names[i], *given[i], units, keep[i]);
    for (const int i : {1, 3})
      if ((vectors[i - 1] == nullptr) != (vectors[i] == nullptr))
        refuse_type(function, names[i], std::string("an array where ") + names[i - 1] + " is one, else None",
                    vectors[i] == nullptr ? "None" : "an array");
    if (vectors[0] == nullptr && vectors[2] != nullptr) refuse_type(function, "mean", "None without gamma", "an array");
  }
  bool asked() const { return vectors[0] != nullptr; }
  bool given() const { return vectors[2] != nullptr; }
};

py::tuple dense_bn_act_forward(const py::object& x_, const py::object& w_, const py::object& b_,
                               const py::object& gamma, const py::object& beta, const py::object& mean_,
                               const py::object& variance_, const std::string& kind, double epsilon, bool transposed,
                               double rate, const py::object& seed, const py::object& step, const py::object& layer,
                               const py::object& row, const py::object& out, const py::kwargs& parameters) {
  const Fused fused("dense_bn_act_forward", kind, epsilon, rate, seed, step, layer, row, parameters);
  const char* name = fused.function;
  const py::array x = array(name, "x", x_, 2);
  return by_type(name, "x", x, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    py::object keep, bias;
    const Weights<T> w = weights_of<T>(name, w_, inputs, transposed, keep);
    const T* b = vector_of<T>(name, "b", b_, w.units, bias);
    const Normalizing<T> n(name, w.units, gamma, beta, mean_, variance_);
    const bool batch = n.asked() && !n.given();
    if (batch && rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    Outputs outputs(name, out, 4);
    const Outputs::Inputs read{&x, &keep, &bias, &n.keep[0], &n.keep[1], &n.keep[2], &n.keep[3]};
    T *y = outputs.add<T>({rows, w.units}, read), *z = outputs.add<T>({rows, w.units}, read);
    T *mean = nullptr, *variance = nullptr;
    if (batch) {
      mean = outputs.add<T>({w.units}, read);
      variance = outputs.add<T>({w.units}, read);
    } else {
      outputs.skip();
      outputs.skip();
    }
    {
      py::gil_scoped_release nogil;
      Chain<T> chain = fused.chain<T>(w.units);
      chain.add_bias(b);
      if (n.asked()) chain.normalize(n.vectors[0], n.vectors[1], n.vectors[2], n.vectors[3], batch, epsilon);
      fused_forward<T>(w, from, rows, chain, y, z);
      if (batch) {
        std::copy_n(chain.mean.begin(), w.units, mean);
        std::copy_n(chain.variance.begin(), w.units, variance);
      }
    }
    return outputs.all();
  });
}

py::object dense_bn_act_inference(const py::object& x_, const py::object& w_, const py::object& b_,
                                  const py::object& gamma, const py::object& beta, const py::object& mean,
                                  const py::object& variance, const std::string& kind, double epsilon, bool transposed,
                                  const py::object& out, const py::kwargs& parameters) {
  const py::int_ zero(0);
  const Fused fused("dense_bn_act_inference", kind, epsilon, 0, zero, zero, zero, zero, parameters);
  const char* name = fused.function;
  const py::array x = array(name, "x", x_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    py::object keep, bias;
    const Weights<T> w = weights_of<T>(name, w_, inputs, transposed, keep);
    const T* b = vector_of<T>(name, "b", b_, w.units, bias);
    const Normalizing<T> n(name, w.units, gamma, beta, mean, variance);
    if (n.asked() && !n.given()) refuse_type(name, "mean", "an array, since gamma is one", "None");
    Outputs outputs(name, out, 1);
    T* y = outputs.add<T>({rows, w.units}, {&x, &keep, &bias, &n.keep[0], &n.keep[1], &n.keep[2], &n.keep[3]});
    {
      py::gil_scoped_release nogil;
      Chain<T> chain = fused.chain<T>(w.units);
      chain.add_bias(b);
      if (n.asked()) chain.normalize(n.vectors[0], n.vectors[1], n.vectors[2], n.vectors[3], false, epsilon);
      fused_forward<T>(w, from, rows, chain, y, nullptr);
    }
    return outputs.one();
  });
}

py::tuple dense_bn_act_backward(const py::object& dy_, const py::object& x_, const py::object& w_, const py::object& z_,
                                const py::object& gamma, const py::object& beta, const py::object& mean,
                                const py::object& variance, const std::string& kind, double epsilon, bool training,
                                bool transposed, bool input_gradient, double rate, const py::object& seed,
                                const py::object& step, const py::object& layer, const py::object& row,
                                const py::object& out, const py::kwargs& parameters) {
  const Fused fused("dense_bn_act_backward", kind, epsilon, rate, seed, step, layer, row, parameters);
  const char* name = fused.function;
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2), z = array(name, "z", z_, 2);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    py::object keep;
    const Weights<T> w = weights_of<T>(name, w_, inputs, transposed, keep);
    const T *gradient = dense<T>(name, "dy", dy, {rows, w.units}), *entered = dense<T>(name, "z", z, {rows, w.units});
    const Normalizing<T> n(name, w.units, gamma, beta, mean, variance);
    if (n.asked() && !n.given()) refuse_type(name, "mean", "an array, since gamma is one", "None");
    if (n.asked() && training && rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    Outputs outputs(name, out, 5);
    const Outputs::Inputs read{&dy, &x, &keep, &z, &n.keep[0], &n.keep[1], &n.keep[2], &n.keep[3]};
    T* dx = nullptr;
    if (input_gradient)
      dx = outputs.add<T>({rows, inputs}, read);
    else
      outputs.skip();
    T* dw = transposed ? outputs.add<T>({w.units, inputs}, read) : outputs.add<T>({inputs, w.units}, read);
    T *db = outputs.add<T>({w.units}, read), *dgamma = nullptr, *dbeta = nullptr;
    if (n.asked()) {
      dgamma = outputs.add<T>({w.units}, read);
      dbeta = outputs.add<T>({w.units}, read);
    } else {
      outputs.skip();
      outputs.skip();
    }
    {
      py::gil_scoped_release nogil;
      Chain<T> chain = fused.chain<T>(w.units);
      if (n.asked()) chain.normalize(n.vectors[0], n.vectors[1], n.vectors[2], n.vectors[3], training, epsilon);
      fused_backward<T>(w, gradient, from, entered, rows, chain, dx, dw);
      std::copy_n(chain.dbias.begin(), w.units, db);
      if (n.asked()) {
        std::copy_n(chain.dscale.begin(), w.units, dgamma);
        std::copy_n(chain.dshift.begin(), w.units, dbeta);
      }
    }
    return outputs.all();
  });
}

}  // namespace

void bind_dense(py::module_& m) {
  bind_packed_weights(m);
  const py::none none;
  const py::int_ zero(0);
  m.def("dense_forward", &dense_forward, py::arg("x"), py::arg("w"), py::arg("b") = none, py::kw_only(),
        py::arg("transposed") = false, py::arg("out") = none);
  m.def("dense_backward", &dense_backward, py::arg("dy"), py::arg("x"), py::arg("w"), py::kw_only(),
        py::arg("transposed") = false, py::arg("input_gradient") = true, py::arg("out") = none);
  m.def("dense_bn_act_forward", &dense_bn_act_forward, py::arg("x"), py::arg("w"), py::arg("b") = none,
        py::arg("gamma") = none, py::arg("beta") = none, py::arg("mean") = none, py::arg("variance") = none,
        py::kw_only(), py::arg("activation") = "linear", py::arg("epsilon") = 1e-3, py::arg("transposed") = false,
        py::arg("rate") = 0.0, py::arg("seed") = zero, py::arg("step") = zero, py::arg("layer") = zero,
        py::arg("row") = zero, py::arg("out") = none);
  m.def("dense_bn_act_inference", &dense_bn_act_inference, py::arg("x"), py::arg("w"), py::arg("b") = none,
        py::arg("gamma") = none, py::arg("beta") = none, py::arg("mean") = none, py::arg("variance") = none,
        py::kw_only(), py::arg("activation") = "linear", py::arg("epsilon") = 1e-3, py::arg("transposed") = false,
        py::arg("out") = none);
  m.def("dense_bn_act_backward", &dense_bn_act_backward, py::arg("dy"), py::arg("x"), py::arg("w"), py::arg("z"),
        py::arg("gamma") = none, py::arg("beta") = none, py::arg("mean") = none, py::arg("variance") = none,
        py::kw_only(), py::arg("activation") = "linear", py::arg("epsilon") = 1e-3, py::arg("training") = true,
        py::arg("transposed") = false, py::arg("input_gradient") = true, py::arg("rate") = 0.0, py::arg("seed") = zero,
        py::arg("step") = zero, py::arg("layer") = zero, py::arg("row") = zero, py::arg("out") = none);
}

}  // namespace evenflow
