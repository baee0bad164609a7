// Eager kernels of layer and root-mean-square normalization, both directions.
#include "bindings/eager.h"
#include "bindings/names.h"

namespace evenflow {

namespace {

// Rows in panels, normalized, with what each was multiplied by; then scale and shift as column operations.
template <class T>
struct NormalizedRows {
  const Kernels<T>& k = kernels<T>();
  const int rows, features;
  const bool centered;
  Tensor<T> y;
  std::vector<T> inverse, scratch, scale, shift, zeros, ones;

  NormalizedRows(int r, int f, const T* x, const T* own_scale, const T* own_shift, double epsilon, bool center)
      : rows(r),
        features(f),
        centered(center),
        y(k, r, f, x),
        inverse(static_cast<std::size_t>(r)),
        scratch(2 * static_cast<std::size_t>(k.layout.padded(f))),
        scale(padded<T>(k.layout, f, own_scale)),
        shift(padded<T>(k.layout, f, own_shift)),
        zeros(scale.size()),
        ones(scale.size(), T(1)) {
    k.normalize_rows(y.panel(0), inverse.data(), y.panel(0), y.stride(), features, epsilon, centered, scratch.data(), 0,
                     rows);
  }
  Columns<T> columns(int p) const {
    const int at = p * k.layout.full();
    return {shift.data() + at, zeros.data() + at, ones.data() + at, scale.data() + at};
  }
};

void check(const char* function, const py::array& x, double epsilon) {
  if (x.shape(1) == 0) refuse(function, "x", "at least one feature", "shape " + shape_text(x));
  check_epsilon(function, epsilon);
}

py::object forward(const char* name, const py::object& x_, const char* scale_name, const py::object& scale_,
                   const py::object* beta_, double epsilon, const py::object& out) {
  const py::array x = array(name, "x", x_, 2), scales = array(name, scale_name, scale_, 1);
  const py::object shifts = beta_ == nullptr ? py::object() : array(name, "beta", *beta_, 1);
  check(name, x, epsilon);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T* scale = dense<T>(name, scale_name, scales, {features});
    const T* beta = shifts ? dense<T>(name, "beta", py::reinterpret_borrow<py::array>(shifts), {features}) : nullptr;
    Outputs outputs(name, out, 1);
    T* to = outputs.add<T>({rows, features}, {&x, &scales, &shifts}, true);
    {
      py::gil_scoped_release nogil;
      in_row_blocks(rows, sizeof(T) * static_cast<std::size_t>(features), [&](int first, int count) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first) * features;
        NormalizedRows<T> n(count, features, from + at, scale, beta, epsilon, beta != nullptr);
        for (int p = 0; p < n.k.layout.panels(features); ++p)
          n.k.activations[0].forward[static_cast<int>(Affine::normalize)](n.y.panel(p), n.y.panel(p), count,
                                                                          n.y.width(p), n.columns(p), nullptr);
        n.y.store(to + at);
      });
    }
    return outputs.one();
  });
}

// dx and the gradients of scale and shift
py::tuple backward(const char* name, const py::object& dy_, const py::object& x_, const char* scale_name,
                   const py::object& scale_, double epsilon, bool centered, const py::object& out) {
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2),
                  scales = array(name, scale_name, scale_, 1);
  check(name, x, epsilon);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* gradient = dense<T>(name, "dy", dy, {rows, features});
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T* own_scale = dense<T>(name, scale_name, scales, {features});
    Outputs outputs(name, out, centered ? 3 : 2);
    const Outputs::Inputs read{&dy, &x, &scales};
    T *to = outputs.add<T>({rows, features}, read, true), *to_scale = outputs.add<T>({features}, read),
      *to_shift = centered ? outputs.add<T>({features}, read) : nullptr;
    {
      py::gil_scoped_release nogil;
      NormalizedRows<T> n(rows, features, from, own_scale, nullptr, epsilon, centered);
      Tensor<T> dz(n.k, rows, features, gradient);
      std::vector<T> shift(n.scale.size()), scale(n.scale.size());
      for (int p = 0; p < n.k.layout.panels(features); ++p) {
        const int at = p * n.k.layout.full();
        n.k.activations[0].backward[static_cast<int>(Affine::normalize)](dz.panel(p), n.y.panel(p), nullptr, rows,
                                                                         dz.width(p), n.columns(p), shift.data() + at,
                                                                         scale.data() + at, nullptr);
        n.k.scale_columns(dz.panel(p), rows, dz.width(p), n.scale.data() + at);
      }
      n.k.normalize_rows_backward(dz.panel(0), dz.panel(0), n.y.panel(0), n.inverse.data(), dz.stride(), features,
                                  centered, n.scratch.data(), 0, rows);
      dz.store(to);
      std::copy_n(scale.begin(), features, to_scale);
      if (centered) std::copy_n(shift.begin(), features, to_shift);
    }
    return outputs.all();
  });
}

py::object layer_norm_forward(const py::object& x, const py::object& gamma, const py::object& beta, double epsilon,
                              const py::object& out) {
  return forward("layer_norm_forward", x, "gamma", gamma, &beta, epsilon, out);
}
py::tuple layer_norm_backward(const py::object& dy, const py::object& x, const py::object& gamma, double epsilon,
                              const py::object& out) {
  return backward("layer_norm_backward", dy, x, "gamma", gamma, epsilon, true, out);
}
py::object rms_norm_forward(const py::object& x, const py::object& scale, double epsilon, const py::object& out) {
  return forward("rms_norm_forward", x, "scale", scale, nullptr, epsilon, out);
}
py::tuple rms_norm_backward(const py::object& dy, const py::object& x, const py::object& scale, double epsilon,
                            const py::object& out) {
  return backward("rms_norm_backward", dy, x, "scale", scale, epsilon, false, out);
}

}  // namespace

void bind_row_normalization(py::module_& m) {
  m.def("layer_norm_forward", &layer_norm_forward, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::kw_only(),
        py::arg("epsilon"), py::arg("out") = py::none());
  m.def("layer_norm_backward", &layer_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"), py::kw_only(),
        py::arg("epsilon"), py::arg("out") = py::none());
  m.def("rms_norm_forward", &rms_norm_forward, py::arg("x"), py::arg("scale"), py::kw_only(), py::arg("epsilon"),
        py::arg("out") = py::none());
  m.def("rms_norm_backward", &rms_norm_backward, py::arg("dy"), py::arg("x"), py::arg("scale"), py::kw_only(),
        py::arg("epsilon"), py::arg("out") = py::none());
}

}  // namespace evenflow
