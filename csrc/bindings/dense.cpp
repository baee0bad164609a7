// Eager kernels of dense layers, alone and fused with what follows them.
#include "bindings/dense.h"

#include <pybind11/stl.h>

#include "bindings/activation_name.h"
#include "bindings/chain.h"
#include "bindings/noise.h"
#include "bindings/packed_weights.h"

namespace evenflow {

namespace {

double nanoseconds(double rows, double inputs, double units, double products) {
  return 2 * products * rows * inputs * units * nanoseconds_of_flop + inputs * units * nanoseconds_of_byte * 4;
}

// y = chain(x w), and z = x w + bias where that is asked for.
template <class T>
void forward(const Weights<T>& w, const T* x, int rows, Chain<T>& chain, T* y, T* z) {
  const Kernels<T>& k = chain.k;
  const bool small = is_small(sizeof(T), rows, w.inputs);
  const Tensor<T> packed(k, small ? 0 : rows, w.inputs);
  const Panels<T> a = small ? Panels<T>{x, k.layout.full(), w.inputs} : Panels<T>{packed.data, packed.stride()};
  const Tiling tiling(k.layout, sizeof(T), w.inputs, rows);
  const int wanted = eager_threads(nanoseconds(rows, w.inputs, w.units, 1));
  const Scratch scratch(sizeof(T) * tiling.elements() * static_cast<std::size_t>(wanted));
  Barrier barrier;
  team::run(wanted, [&](int thread, int threads) {
    if (!small) {
      pack_rows(packed, x, thread, threads);
      barrier.wait(threads);
    }
    T* memory = static_cast<T*>(scratch.data()) + tiling.elements() * static_cast<std::size_t>(thread);
    multiply(
        k, a, rows, w.inputs, w.units, chain.batch, tiling, memory, thread, threads,
        [&](T* to, T* flip, int p, int end) { return w.near_units(k, to, flip, p, end); },
        [&](T* c, std::ptrdiff_t stride, int p, int end, int first, int last) {
          for (int q = p; q < end; ++q) chain.shift(q, c + (q - p) * stride, first, last);
          if (z != nullptr) store_rows(k, z, w.units, c, stride, p, end, first, last);
          for (int q = p; q < end; ++q) chain.forward(q, c + (q - p) * stride, first, last);
          store_rows(k, y, w.units, c, stride, p, end, first, last);
        });
  });
}

// dw and dx (unless nullptr) from dy; the chain keeps the sums. z may be nullptr for a chain that needs none.
template <class T>
void backward(const Weights<T>& w, const T* dy, const T* x, const T* z, int rows, Chain<T>& chain, T* dx, T* dw) {
  const Kernels<T>& k = chain.k;
  const int inputs = w.inputs, units = w.units;
  const Tensor<T> a(k, rows, inputs);
  Tensor<T> dz(k, rows, units);
  const Tiling tiling(k.layout, sizeof(T), units, rows);
  const auto panel = static_cast<std::size_t>(dz.stride());
  const std::size_t full = static_cast<std::size_t>(k.layout.full());
  const std::size_t own =
      std::max({tiling.elements(), 2 * panel, full * full * static_cast<std::size_t>(tiling.panels)});
  const int wanted = eager_threads(nanoseconds(rows, inputs, units, dx == nullptr ? 1 : 2));
  const Scratch scratch(sizeof(T) * own * static_cast<std::size_t>(wanted));
  chain.make_sums();
  Barrier barrier;
  team::run(wanted, [&](int thread, int threads) {
    T* memory = static_cast<T*>(scratch.data()) + own * static_cast<std::size_t>(thread);
    pack_rows(a, x, thread, threads);
    const Share panels(k.layout.panels(units), thread, threads);
    if (panels.first < panels.end)
      Matrix<T>{dy, rows, units}.of_columns(k, dz.panel(panels.first), panels.first, panels.end);
    for (int p = panels.first; p < panels.end; ++p) {
      if (z != nullptr) Matrix<T>{z, rows, units}.of_columns(k, memory, p, p + 1);
      chain.backward(p, dz.panel(p), z == nullptr ? nullptr : memory, memory + panel, rows);
    }
    barrier.wait(threads);
    if (w.transposed)
      outer_product(dw, dz, a, tiling, memory, thread, threads);
    else
      outer_product(dw, a, dz, tiling, memory, thread, threads);
    if (dx == nullptr) return;
    multiply(
        k, {dz.panel(0), dz.stride()}, rows, units, inputs, false, tiling, memory, thread, threads,
        [&](T* to, T* flip, int p, int end) { return w.of_inputs(k, to, flip, p, end); },
        [&](T* c, std::ptrdiff_t stride, int p, int end, int first, int last) {
          store_rows(k, dx, inputs, c, stride, p, end, first, last);
        });
  });
}

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
      forward<T>(w, from, rows, chain, y, nullptr);
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
      backward<T>(w, gradient, from, nullptr, rows, chain, dx, dw);
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

py::tuple fused_forward(const py::object& x_, const py::object& w_, const py::object& b_, const py::object& gamma,
                        const py::object& beta, const py::object& mean_, const py::object& variance_,
                        const std::string& kind, double epsilon, bool transposed, double rate, const py::object& seed,
                        const py::object& step, const py::object& layer, const py::object& row, const py::object& out,
                        const py::kwargs& parameters) {
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
      forward<T>(w, from, rows, chain, y, z);
      if (batch) {
        std::copy_n(chain.mean.begin(), w.units, mean);
        std::copy_n(chain.variance.begin(), w.units, variance);
      }
    }
    return outputs.all();
  });
}

py::object fused_inference(const py::object& x_, const py::object& w_, const py::object& b_, const py::object& gamma,
                           const py::object& beta, const py::object& mean, const py::object& variance,
                           const std::string& kind, double epsilon, bool transposed, const py::object& out,
                           const py::kwargs& parameters) {
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
      forward<T>(w, from, rows, chain, y, nullptr);
    }
    return outputs.one();
  });
}

py::tuple fused_backward(const py::object& dy_, const py::object& x_, const py::object& w_, const py::object& z_,
                         const py::object& gamma, const py::object& beta, const py::object& mean,
                         const py::object& variance, const std::string& kind, double epsilon, bool training,
                         bool transposed, bool input_gradient, double rate, const py::object& seed,
                         const py::object& step, const py::object& layer, const py::object& row, const py::object& out,
                         const py::kwargs& parameters) {
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
      backward<T>(w, gradient, from, entered, rows, chain, dx, dw);
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
  m.def("dense_bn_act_forward", &fused_forward, py::arg("x"), py::arg("w"), py::arg("b") = none,
        py::arg("gamma") = none, py::arg("beta") = none, py::arg("mean") = none, py::arg("variance") = none,
        py::kw_only(), py::arg("activation") = "linear", py::arg("epsilon") = 1e-3, py::arg("transposed") = false,
        py::arg("rate") = 0.0, py::arg("seed") = zero, py::arg("step") = zero, py::arg("layer") = zero,
        py::arg("row") = zero, py::arg("out") = none);
  m.def("dense_bn_act_inference", &fused_inference, py::arg("x"), py::arg("w"), py::arg("b") = none,
        py::arg("gamma") = none, py::arg("beta") = none, py::arg("mean") = none, py::arg("variance") = none,
        py::kw_only(), py::arg("activation") = "linear", py::arg("epsilon") = 1e-3, py::arg("transposed") = false,
        py::arg("out") = none);
  m.def("dense_bn_act_backward", &fused_backward, py::arg("dy"), py::arg("x"), py::arg("w"), py::arg("z"),
        py::arg("gamma") = none, py::arg("beta") = none, py::arg("mean") = none, py::arg("variance") = none,
        py::kw_only(), py::arg("activation") = "linear", py::arg("epsilon") = 1e-3, py::arg("training") = true,
        py::arg("transposed") = false, py::arg("input_gradient") = true, py::arg("rate") = 0.0, py::arg("seed") = zero,
        py::arg("step") = zero, py::arg("layer") = zero, py::arg("row") = zero, py::arg("out") = none);
}

}  // namespace evenflow
