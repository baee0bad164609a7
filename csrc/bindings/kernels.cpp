// Eager kernels on C-ordered arrays: packed into panels, run through the same table as a program, unpacked. What a
// program computes can be typed by hand with these, bit for bit.
#include "kernels/kernels.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bindings/spec.h"

namespace evenflow {

namespace {

template <class T>
struct Tensor {
  const Layout layout;
  int rows, features;
  std::vector<T> data;

  Tensor(Layout l, int r, int f)
      : layout(l), rows(r), features(f),
        data(static_cast<std::size_t>(l.panels(f)) * static_cast<std::size_t>(stride())) {}
  Tensor(Layout l, int r, int f, const T* from) : Tensor(l, r, f) {
    for (int p = 0; p < layout.panels(features); ++p)
      for (int row = 0; row < rows; ++row)
        std::copy_n(from + static_cast<std::ptrdiff_t>(row) * features + p * layout.full(), valid(p),
                    panel(p) + static_cast<std::ptrdiff_t>(row) * width(p));
  }
  void store(T* to) const {
    for (int p = 0; p < layout.panels(features); ++p)
      for (int row = 0; row < rows; ++row)
        std::copy_n(panel(p) + static_cast<std::ptrdiff_t>(row) * width(p), valid(p),
                    to + static_cast<std::ptrdiff_t>(row) * features + p * layout.full());
  }
  std::ptrdiff_t stride() const { return static_cast<std::ptrdiff_t>(std::max(rows, 1)) * layout.full(); }
  int width(int p) const { return layout.width(features, p); }
  int valid(int p) const { return std::min(layout.full(), features - p * layout.full()); }
  T* panel(int p) { return data.data() + p * stride(); }
  const T* panel(int p) const { return data.data() + p * stride(); }
};

// A vector, padded; or a kernel, [panel][input][width] (a tensor whose panels are dense).
template <class T>
std::vector<T> padded(Layout layout, int features, const T* from) {
  std::vector<T> v(static_cast<std::size_t>(layout.panels(features) * layout.full()));
  if (from != nullptr) std::copy_n(from, features, v.begin());
  return v;
}

py::array array(const char* function, const char* name, const py::object& object, py::ssize_t ndim) {
  py::array a = array_of(function, name, object);
  if (ndim >= 0 && a.ndim() != ndim)
    refuse(function, name, std::to_string(ndim) + " dimensions", "shape " + shape_text(a));
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) > (1 << 30)) refuse(function, name, "at most 2^30 along an axis", "shape " + shape_text(a));
  return a;
}
int rows_of(const py::array& a) { return static_cast<int>(a.shape(0)); }
int columns_of(const py::array& a) { return static_cast<int>(a.shape(1)); }

// f(T{}) for the element type of the first argument.
template <class F>
auto by_type(const char* function, const char* name, const py::array& a, F f) {
  if (is(a, "float32")) return f(float{});
  if (!is(a, "float64")) refuse_type(function, name, "float32 or float64", "shape " + shape_text(a));
  return f(double{});
}
template <class T>
py::array made(const std::vector<py::ssize_t>& shape) {
  return py::array(py::dtype::of<T>(), shape);
}
template <class T>
T* data_of(py::array& a) {
  return static_cast<T*>(a.mutable_data());
}

py::array dense_forward(const py::object& x_, const py::object& w_, const py::object& b_) {
  const char* name = "dense_forward";
  const py::array x = array(name, "x", x_, 2), w = array(name, "w", w_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x), units = columns_of(w);
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    const T* weights = dense<T>(name, "w", w, {inputs, -1});
    const T* bias = b_.is_none() ? nullptr : dense<T>(name, "b", array(name, "b", b_, 1), {units});
    py::array y = made<T>({rows, units});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const Tensor<T> a(k.layout, rows, inputs, from), packed(k.layout, inputs, units, weights);
    const std::vector<T> shift = padded(k.layout, units, bias);
    Tensor<T> c(k.layout, rows, units);
    for (int p = 0; p < k.layout.panels(units); ++p) {
      k.product(c.panel(p), a.panel(0), a.stride(), packed.panel(p), rows, inputs, c.width(p));
      Columns<T> columns;
      columns.shift = shift.data() + p * k.layout.full();
      if (bias != nullptr)
        k.activations[0].forward[static_cast<int>(Affine::bias)](c.panel(p), c.panel(p), rows, c.width(p), columns, nullptr);
    }
    c.store(to);
    return y;
  });
}

py::tuple dense_backward(const py::object& dy_, const py::object& x_, const py::object& w_) {
  const char* name = "dense_backward";
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2), w = array(name, "w", w_, 2);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), inputs = columns_of(x), units = columns_of(w);
    const T* gradient = dense<T>(name, "dy", dy, {rows, units});
    const T* from = dense<T>(name, "x", x, {rows, inputs});
    const T* weights = dense<T>(name, "w", w, {inputs, units});
    py::array dx = made<T>({rows, inputs}), dw = made<T>({inputs, units}), db = made<T>({units});
    T *to_dx = data_of<T>(dx), *to_dw = data_of<T>(dw), *to_db = data_of<T>(db);
    {
      py::gil_scoped_release nogil;
      const auto& k = kernels<T>();
      const int full = k.layout.full();
      Tensor<T> dz(k.layout, rows, units, gradient);
      const Tensor<T> a(k.layout, rows, inputs, from);
      std::vector<T> packed(static_cast<std::size_t>(inputs) * static_cast<std::size_t>(k.layout.padded(units)));
      Tensor<T> below(k.layout, rows, inputs), slope(k.layout, inputs, units);
      const Tensor<T> tall(k.layout, inputs, units, weights);
      for (int p = 0; p < k.layout.panels(units); ++p)
        std::copy_n(tall.panel(p), static_cast<std::ptrdiff_t>(inputs) * tall.width(p),
                    packed.begin() + static_cast<std::ptrdiff_t>(p) * full * inputs);
      std::vector<T> scratch(static_cast<std::size_t>(k.layout.padded(units)) * static_cast<std::size_t>(full));
      for (int p = 0; p < k.layout.panels(inputs); ++p) {
        k.transpose(scratch.data(), packed.data(), inputs, units, p * full, below.width(p));
        k.product(below.panel(p), dz.panel(0), dz.stride(), scratch.data(), rows, units, below.width(p));
      }
      std::vector<T> sums(static_cast<std::size_t>(k.layout.panels(units) * full));
      for (int p = 0; p < k.layout.panels(units); ++p) {
        for (int q = 0; q < k.layout.panels(inputs); ++q)
          k.weight_gradient(slope.panel(p) + static_cast<std::ptrdiff_t>(q) * full * slope.width(p), a.panel(q),
                            dz.panel(p), rows, a.width(q), a.valid(q), slope.width(p));
        k.activations[0].backward[static_cast<int>(Affine::bias)](
            dz.panel(p), nullptr, nullptr, rows, dz.width(p), Columns<T>{sums.data()}, sums.data() + p * full, nullptr, nullptr);
      }
      below.store(to_dx);
      slope.store(to_dw);
      std::copy_n(sums.begin(), units, to_db);
    }
    return py::make_tuple(dx, dw, db);
  });
}

// Batch normalization, one panel after the other: what all three functions share.
template <class T>
struct Normalization {
  const Kernels<T>& k = kernels<T>();
  int rows, features;
  std::vector<T> gamma, beta, mean, variance, inverse, scale;

  Normalization(int r, int f, const T* g, const T* b, const T* m, const T* v)
      : rows(r), features(f), gamma(padded(k.layout, f, g)), beta(padded(k.layout, f, b)), mean(padded(k.layout, f, m)),
        variance(padded(k.layout, f, v)), inverse(gamma.size()), scale(gamma.size()) {}
  Columns<T> columns(int p, double epsilon) {
    const int at = p * k.layout.full();
    k.normalizer(inverse.data() + at, scale.data() + at, variance.data() + at, gamma.data() + at, epsilon,
                 k.layout.width(features, p));
    return {beta.data() + at, mean.data() + at, inverse.data() + at, scale.data() + at};
  }
};

void check_epsilon(const char* function, double epsilon) {
  if (!(epsilon >= 0) || std::isinf(epsilon)) refuse(function, "epsilon", "a finite number of at least 0", std::to_string(epsilon));
}

template <class T>
void normalize(Normalization<T>& n, Tensor<T>& x, double epsilon, bool batch) {
  for (int p = 0; p < n.k.layout.panels(n.features); ++p) {
    const int at = p * n.k.layout.full();
    if (batch) n.k.moments(n.mean.data() + at, n.variance.data() + at, x.panel(p), n.rows, x.width(p));
    const Columns<T> columns = n.columns(p, epsilon);
    n.k.activations[0].forward[static_cast<int>(Affine::normalize)](x.panel(p), x.panel(p), n.rows, x.width(p), columns, nullptr);
  }
}

py::tuple batch_norm_forward(const py::object& x_, const py::object& gamma_, const py::object& beta_, double epsilon) {
  const char* name = "batch_norm_forward";
  const py::array x = array(name, "x", x_, 2);
  check_epsilon(name, epsilon);
  return by_type(name, "x", x, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const T* gamma = dense<T>(name, "gamma", array(name, "gamma", gamma_, 1), {features});
    const T* beta = dense<T>(name, "beta", array(name, "beta", beta_, 1), {features});
    if (rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    py::array y = made<T>({rows, features}), mean = made<T>({features}), variance = made<T>({features});
    T *to = data_of<T>(y), *to_mean = data_of<T>(mean), *to_variance = data_of<T>(variance);
    {
      py::gil_scoped_release nogil;
      Normalization<T> n(rows, features, gamma, beta, nullptr, nullptr);
      Tensor<T> tensor(n.k.layout, rows, features, from);
      normalize(n, tensor, epsilon, true);
      tensor.store(to);
      std::copy_n(n.mean.begin(), features, to_mean);
      std::copy_n(n.variance.begin(), features, to_variance);
    }
    return py::make_tuple(y, mean, variance);
  });
}

py::array batch_norm_inference(const py::object& x_, const py::object& gamma_, const py::object& beta_,
                               const py::object& mean_, const py::object& variance_, double epsilon) {
  const char* name = "batch_norm_inference";
  const py::array x = array(name, "x", x_, 2);
  check_epsilon(name, epsilon);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, features});
    const auto vector = [&](const char* argument, const py::object& object) {
      return dense<T>(name, argument, array(name, argument, object, 1), {features});
    };
    const T *gamma = vector("gamma", gamma_), *beta = vector("beta", beta_), *mean = vector("mean", mean_),
            *variance = vector("variance", variance_);
    py::array y = made<T>({rows, features});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    Normalization<T> n(rows, features, gamma, beta, mean, variance);
    Tensor<T> tensor(n.k.layout, rows, features, from);
    normalize(n, tensor, epsilon, false);
    tensor.store(to);
    return y;
  });
}

py::tuple batch_norm_backward(const py::object& dy_, const py::object& x_, const py::object& gamma_,
                              const py::object& mean_, const py::object& variance_, double epsilon) {
  const char* name = "batch_norm_backward";
  const py::array dy = array(name, "dy", dy_, 2), x = array(name, "x", x_, 2);
  check_epsilon(name, epsilon);
  return by_type(name, "dy", dy, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(x), features = columns_of(x);
    const T* gradient = dense<T>(name, "dy", dy, {rows, features});
    const T* from = dense<T>(name, "x", x, {rows, features});
    const auto vector = [&](const char* argument, const py::object& object) {
      return dense<T>(name, argument, array(name, argument, object, 1), {features});
    };
    const T *gamma = vector("gamma", gamma_), *mean = vector("mean", mean_), *variance = vector("variance", variance_);
    if (rows == 0) refuse(name, "x", "at least one row", "shape " + shape_text(x));
    py::array dx = made<T>({rows, features}), dgamma = made<T>({features}), dbeta = made<T>({features});
    T *to = data_of<T>(dx), *to_gamma = data_of<T>(dgamma), *to_beta = data_of<T>(dbeta);
    {
      py::gil_scoped_release nogil;
      Normalization<T> n(rows, features, gamma, nullptr, mean, variance);
      const Tensor<T> input(n.k.layout, rows, features, from);
      Tensor<T> dz(n.k.layout, rows, features, gradient);
      std::vector<T> shift(n.gamma.size()), scale(n.gamma.size());
      for (int p = 0; p < n.k.layout.panels(features); ++p) {
        const Columns<T> columns = n.columns(p, epsilon);
        T *own_shift = shift.data() + p * n.k.layout.full(), *own_scale = scale.data() + p * n.k.layout.full();
        n.k.activations[0].backward[static_cast<int>(Affine::normalize)](
            dz.panel(p), input.panel(p), nullptr, rows, dz.width(p), columns, own_shift, own_scale, nullptr);
        n.k.normalize_backward(dz.panel(p), input.panel(p), rows, dz.width(p), columns, own_shift, own_scale);
      }
      dz.store(to);
      std::copy_n(scale.begin(), features, to_gamma);
      std::copy_n(shift.begin(), features, to_beta);
    }
    return py::make_tuple(dx, dgamma, dbeta);
  });
}

struct Activation {
  std::size_t index;
  double parameter;
};
Activation find_activation(const char* function, const std::string& name, const py::kwargs& given) {
  const auto& k = kernels<float>();
  std::vector<std::string> names;
  for (int i = 0; i < k.activation_count; ++i) names.emplace_back(k.activations[i].name);
  const std::size_t index = index_of(function, "name", name, names);
  Activation found{index, k.activations[index].parameter};
  const char* own = k.activations[index].parameter_name;
  for (const auto& [key, value] : given) {
    if (own == nullptr || text(key) != own)
      refuse_type(function, text(key), own == nullptr ? "no hyper-parameters for '" + name + "'" : std::string(own),
                  text(py::repr(value)));
    try {
      found.parameter = py::reinterpret_borrow<py::object>(value).cast<double>();
    } catch (const py::cast_error&) {
      refuse_type(function, own, "a number", text(py::repr(value)));
    }
    if (!(found.parameter >= 0) || std::isinf(found.parameter))
      refuse(function, own, "a finite number of at least 0", text(py::repr(value)));
  }
  return found;
}

template <class T>
std::ptrdiff_t whole_size(const char* function, const char* name, const py::array& a, T** data, bool writable = false) {
  *data = dense<T>(function, name, a, std::vector<py::ssize_t>(a.shape(), a.shape() + a.ndim()), writable);
  return a.size();
}

// Elementwise: the array as rows of one panel, with the rest in a row of its own.
template <class T, class F>
void in_rows(const Kernels<T>& k, std::ptrdiff_t n, F f) {
  const int width = k.layout.lanes;
  for (std::ptrdiff_t done = 0; done < n;) {
    const auto rows = static_cast<int>(std::min<std::ptrdiff_t>((n - done) / width, 1 << 20));
    if (rows == 0) break;
    f(done, rows, width);
    done += static_cast<std::ptrdiff_t>(rows) * width;
  }
}

py::array activation_forward(const std::string& name, const py::object& x_, const py::kwargs& parameters) {
  const char* function = "activation_forward";
  const Activation activation = find_activation(function, name, parameters);
  const py::array x = array(function, "x", x_, -1);
  return by_type(function, "x", x, [&](auto type) {
    using T = decltype(type);
    T* from;
    const std::ptrdiff_t n = whole_size<T>(function, "x", x, &from);
    py::array y = made<T>(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const auto forward = k.activations[activation.index].forward[0];
    in_rows(k, n, [&](std::ptrdiff_t at, int rows, int width) {
      forward(to + at, from + at, rows, width, {}, &activation.parameter);
    });
    const std::ptrdiff_t rest = n % k.layout.lanes;
    std::vector<T> edge(static_cast<std::size_t>(k.layout.lanes));
    std::copy_n(from + n - rest, rest, edge.begin());
    forward(edge.data(), edge.data(), 1, k.layout.lanes, {}, &activation.parameter);
    std::copy_n(edge.begin(), rest, to + n - rest);
    return y;
  });
}

py::array activation_backward(const std::string& name, const py::object& dy_, const py::object& x_,
                              const py::object& y_, const py::kwargs& parameters) {
  const char* function = "activation_backward";
  const Activation activation = find_activation(function, name, parameters);
  const py::array dy = array(function, "dy", dy_, -1), x = array(function, "x", x_, -1), y = array(function, "y", y_, -1);
  return by_type(function, "dy", dy, [&](auto type) {
    using T = decltype(type);
    const std::vector<py::ssize_t> shape(dy.shape(), dy.shape() + dy.ndim());
    T* gradient;
    const std::ptrdiff_t n = whole_size<T>(function, "dy", dy, &gradient);
    const T *input = dense<T>(function, "x", x, shape), *output = dense<T>(function, "y", y, shape);
    py::array dx = made<T>(shape);
    T* to = data_of<T>(dx);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const auto backward = k.activations[activation.index].backward[0];
    std::copy_n(gradient, n, to);
    in_rows(k, n, [&](std::ptrdiff_t at, int rows, int width) {
      backward(to + at, input + at, output + at, rows, width, {}, nullptr, nullptr, &activation.parameter);
    });
    const std::ptrdiff_t rest = n % k.layout.lanes;
    const auto lanes = static_cast<std::size_t>(k.layout.lanes);
    std::vector<T> g(lanes), a(lanes), b(lanes);
    std::copy_n(to + n - rest, rest, g.begin());
    std::copy_n(input + n - rest, rest, a.begin());
    std::copy_n(output + n - rest, rest, b.begin());
    backward(g.data(), a.data(), b.data(), 1, k.layout.lanes, {}, nullptr, nullptr, &activation.parameter);
    std::copy_n(g.begin(), rest, to + n - rest);
    return dx;
  });
}

py::array softmax(const py::object& x_) {
  const char* name = "softmax";
  const py::array x = array(name, "x", x_, 2);
  return by_type(name, "x", x, [&](auto type) {
    using T = decltype(type);
    const int rows = rows_of(x), units = columns_of(x);
    const T* from = dense<T>(name, "x", x, {rows, units});
    if (units == 0) refuse(name, "x", "at least one column", "shape " + shape_text(x));
    py::array y = made<T>({rows, units});
    T* to = data_of<T>(y);
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    Tensor<T> tensor(k.layout, rows, units, from);
    std::vector<T> scratch(static_cast<std::size_t>(3 * k.layout.padded(units)));
    k.softmax(tensor.panel(0), tensor.panel(0), tensor.stride(), units, scratch.data(), 0, rows);
    tensor.store(to);
    return y;
  });
}

py::tuple loss_forward_backward(const std::string& loss, const py::object& prediction_, const py::object& target_,
                                bool from_logits) {
  const char* name = "loss_forward_backward";
  const auto kind = static_cast<Loss>(index_of(name, "name", loss, loss_names()));
  const py::array prediction = array(name, "prediction", prediction_, 2), target = array(name, "target", target_, -1);
  return by_type(name, "prediction", prediction, [&](auto type) -> py::tuple {
    using T = decltype(type);
    const int rows = rows_of(prediction), units = columns_of(prediction);
    const T* from = dense<T>(name, "prediction", prediction, {rows, units});
    if (rows == 0 || units == 0) refuse(name, "prediction", "at least one row and column", "shape " + shape_text(prediction));
    const bool sparse = kind == Loss::sparse_categorical_crossentropy;
    const Feed feed = feed_of(name, "target", target, sparse ? 1 : units, sparse);
    if (feed.rows != rows) refuse(name, "target", std::to_string(rows) + " rows, as prediction has", "shape " + shape_text(target));
    const auto& k = kernels<T>();
    const int width = k.layout.padded(units);
    std::vector<std::int64_t> labels(static_cast<std::size_t>(sparse ? rows : 0));
    std::vector<T> targets(static_cast<std::size_t>(sparse ? 0 : rows) * static_cast<std::size_t>(width));
    for (int row = 0; row < rows; ++row) {
      if (!sparse) {
        convert_row(targets.data() + static_cast<std::ptrdiff_t>(row) * width, feed, feed.row(row), 0, units);
        continue;
      }
      std::int64_t& label = labels[static_cast<std::size_t>(row)];
      convert_row(&label, feed, feed.row(row), 0, 1);
      if (label < 0 || label >= units)
        refuse(name, "target", "labels from 0 to " + std::to_string(units - 1), std::to_string(label) + " in row " + std::to_string(row));
    }
    py::array value = made<T>({rows}), gradient = made<T>({rows, units});
    T *to_value = data_of<T>(value), *to_gradient = data_of<T>(gradient);
    {
      py::gil_scoped_release nogil;
      Tensor<T> z(k.layout, rows, units, from), dz(k.layout, rows, units);
      std::vector<T> scratch(static_cast<std::size_t>(3 * width));
      std::vector<double> losses(static_cast<std::size_t>(rows));
      LossRows<T> in{};
      in.loss = kind;
      in.output = Output::plain;
      in.from_logits = from_logits && kind != Loss::mean_squared_error;
      in.units = units;
      in.z = z.panel(0);
      in.dz = dz.panel(0);
      in.stride = z.stride();
      in.gradient_scale = 1.0 / rows;
      in.labels = sparse ? labels.data() : nullptr;
      in.targets = sparse ? nullptr : targets.data();
      in.losses = losses.data();
      k.loss(in, scratch.data(), 0, rows);
      dz.store(to_gradient);
      for (int row = 0; row < rows; ++row) to_value[row] = static_cast<T>(losses[static_cast<std::size_t>(row)]);
    }
    return py::make_tuple(value, gradient);
  });
}

// Arrays of an update: same shape and type, writable where written, none overlapping another.
template <class T>
std::vector<T*> update_arrays(const char* function, const std::vector<std::pair<const char*, py::array>>& arrays) {
  std::vector<T*> pointers;
  const py::array& p = arrays[0].second;
  const std::vector<py::ssize_t> shape(p.shape(), p.shape() + p.ndim());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    pointers.push_back(dense<T>(function, arrays[i].first, arrays[i].second, shape, i != 1));
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(arrays[i].second, arrays[j].second))
        refuse(function, arrays[i].first, "memory of its own", std::string("memory shared with '") + arrays[j].first + "'");
  }
  return pointers;
}
void check_finite(const char* function, const char* name, double value, double lowest, double highest) {
  if (!(value >= lowest && value <= highest))
    refuse(function, name, "a number from " + std::to_string(lowest) + " to " + std::to_string(highest), std::to_string(value));
}

void sgd_step(const py::object& p_, const py::object& g_, const py::object& m_, double learning_rate, double momentum,
              bool nesterov) {
  const char* name = "sgd_step";
  check_finite(name, "learning_rate", learning_rate, -1e300, 1e300);
  check_finite(name, "momentum", momentum, 0, 1);
  if (momentum != 0 && m_.is_none()) refuse_type(name, "m", "an array, since momentum is not 0", "None");
  std::vector<std::pair<const char*, py::array>> arrays{{"p", array(name, "p", p_, -1)}, {"g", array(name, "g", g_, -1)}};
  if (!m_.is_none()) arrays.emplace_back("m", array(name, "m", m_, -1));
  by_type(name, "p", arrays[0].second, [&](auto type) {
    using T = decltype(type);
    const auto at = update_arrays<T>(name, arrays);
    const std::ptrdiff_t n = arrays[0].second.size();
    py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    if (momentum == 0) return k.sgd({learning_rate}, {}, at[0], at[1], nullptr, n);
    T* slots[1] = {at[2]};
    if (nesterov)
      k.nesterov({momentum, -learning_rate, 1}, {}, at[0], at[1], slots, n);
    else
      k.momentum({momentum, -learning_rate, 1}, {}, at[0], at[1], slots, n);
  });
}

void adam(const py::object& p_, const py::object& g_, const py::object& m_, const py::object& v_, std::int64_t step,
          double learning_rate, double beta_1, double beta_2, double epsilon) {
  const char* name = "adam_step";
  if (step < 1) refuse(name, "step", "1 or more", std::to_string(step));
  check_finite(name, "learning_rate", learning_rate, -1e300, 1e300);
  check_finite(name, "beta_1", beta_1, 0, 1 - 1e-15);
  check_finite(name, "beta_2", beta_2, 0, 1 - 1e-15);
  check_finite(name, "epsilon", epsilon, 1e-300, 1e300);
  const std::vector<std::pair<const char*, py::array>> arrays{{"p", array(name, "p", p_, -1)},
                                                              {"g", array(name, "g", g_, -1)},
                                                              {"m", array(name, "m", m_, -1)},
                                                              {"v", array(name, "v", v_, -1)}};
  by_type(name, "p", arrays[0].second, [&](auto type) {
    using T = decltype(type);
    const auto at = update_arrays<T>(name, arrays);
    const std::ptrdiff_t n = arrays[0].second.size();
    py::gil_scoped_release nogil;
    T* slots[2] = {at[2], at[3]};
    const double size = adam_step(learning_rate, beta_1, beta_2, static_cast<double>(step));
    kernels<T>().adam({beta_1, beta_2, epsilon, size}, {}, at[0], at[1], slots, n);
  });
}

// The square sum of one array, in a program's order: panel after panel of a matrix, or of a vector.
template <class T>
double square_sum(const char* function, const py::array& g) {
  const T* from = dense<T>(function, "g", g, std::vector<py::ssize_t>(g.shape(), g.shape() + g.ndim()), true);
  const auto& k = kernels<T>();
  const int features = g.ndim() == 0 ? 1 : static_cast<int>(g.shape(g.ndim() - 1));
  if (g.size() == 0) return 0;
  const Tensor<T> panels(k.layout, static_cast<int>(g.size() / features), features, from);
  double total = 0;
  for (int p = 0; p < k.layout.panels(features); ++p)
    total += k.square_sum(panels.panel(p), static_cast<std::ptrdiff_t>(panels.rows) * panels.width(p));
  return total;
}

void clip(const char* function, const py::array& g, Clip how) {
  by_type(function, "g", g, [&](auto type) {
    using T = decltype(type);
    T* data;
    const std::ptrdiff_t n = whole_size<T>(function, "g", g, &data, true);
    if (how.active()) kernels<T>().clip(data, n, how);
  });
}
void check_limit(const char* function, double limit) {
  if (!(limit > 0)) refuse(function, "limit", "a number above 0", std::to_string(limit));
}

void clip_by_value(const py::object& g_, double limit) {
  const char* name = "clip_by_value";
  check_limit(name, limit);
  clip(name, array(name, "g", g_, -1), {1, limit});
}

double clip_all(const char* name, const std::vector<py::array>& gs, double limit) {
  check_limit(name, limit);
  double total = 0;
  for (std::size_t i = 0; i < gs.size(); ++i) {
    total += by_type(name, "g", gs[i], [&](auto type) { return square_sum<decltype(type)>(name, gs[i]); });
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(gs[i], gs[j])) refuse(name, "gs", "arrays that share no memory", "overlapping arrays");
  }
  const double norm = std::sqrt(total);
  Clip how;
  how.scale = norm <= limit ? 1 : limit / norm;
  for (const auto& g : gs) clip(name, g, how);
  return norm;
}
double clip_by_norm(const py::object& g_, double limit) {
  const char* name = "clip_by_norm";
  return clip_all(name, {array(name, "g", g_, -1)}, limit);
}
double clip_by_global_norm(const py::sequence& gs, double limit) {
  const char* name = "clip_by_global_norm";
  std::vector<py::array> all;
  for (const auto& g : gs) all.push_back(array(name, "gs", py::reinterpret_borrow<py::object>(g), -1));
  return clip_all(name, all, limit);
}

}  // namespace

void bind_kernels(py::module_& m) {
  m.def("dense_forward", &dense_forward, py::arg("x"), py::arg("w"), py::arg("b") = py::none());
  m.def("dense_backward", &dense_backward, py::arg("dy"), py::arg("x"), py::arg("w"));
  m.def("batch_norm_forward", &batch_norm_forward, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::kw_only(),
        py::arg("epsilon"));
  m.def("batch_norm_inference", &batch_norm_inference, py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"),
        py::arg("variance"), py::kw_only(), py::arg("epsilon"));
  m.def("batch_norm_backward", &batch_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"), py::arg("mean"),
        py::arg("variance"), py::kw_only(), py::arg("epsilon"));
  m.def("activation_forward", &activation_forward, py::arg("name"), py::arg("x"));
  m.def("activation_backward", &activation_backward, py::arg("name"), py::arg("dy"), py::arg("x"), py::arg("y"));
  m.def("softmax", &softmax, py::arg("x"));
  m.def("loss_forward_backward", &loss_forward_backward, py::arg("name"), py::arg("prediction"), py::arg("target"),
        py::kw_only(), py::arg("from_logits") = false);
  m.def("sgd_step", &sgd_step, py::arg("p"), py::arg("g"), py::arg("m"), py::kw_only(), py::arg("learning_rate"),
        py::arg("momentum") = 0.0, py::arg("nesterov") = false);
  m.def("adam_step", &adam, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::kw_only(), py::arg("step"),
        py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"));
  m.def("clip_by_value", &clip_by_value, py::arg("g"), py::arg("limit"));
  m.def("clip_by_norm", &clip_by_norm, py::arg("g"), py::arg("limit"));
  m.def("clip_by_global_norm", &clip_by_global_norm, py::arg("gs"), py::arg("limit"));
}

}  // namespace evenflow
