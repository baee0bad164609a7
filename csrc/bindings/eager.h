// Eager kernels on C-ordered arrays: packed into panels, run through the same table as a program, unpacked. What a
// program computes can be typed by hand with these, bit for bit.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/scratch.h"
#include "kernels/kernels.h"

namespace evenflow {

template <class T>
struct Tensor {
  const Kernels<T>& k;
  const Layout layout;
  const int rows, features;
  const Scratch scratch;
  T* const data;

  Tensor(const Kernels<T>& kernels, int r, int f)  // values as they come
      : k(kernels),
        layout(k.layout),
        rows(r),
        features(f),
        scratch(sizeof(T) * static_cast<std::size_t>(layout.panels(f)) * static_cast<std::size_t>(stride())),
        data(static_cast<T*>(scratch.data())) {}
  Tensor(const Kernels<T>& kernels, int r, int f, const T* from) : Tensor(kernels, r, f) {
    for (int row = 0; row < rows; ++row, from += features)
      k.spread(data, stride(), from, row, features, 0, layout.panels(features));
  }
  void store(T* to) const {
    for (int row = 0; row < rows; ++row, to += features) k.collect(to, data, stride(), row, features);
  }
  std::ptrdiff_t stride() const { return static_cast<std::ptrdiff_t>(std::max(rows, 1)) * layout.full(); }
  int width(int p) const { return layout.width(features, p); }
  int valid(int p) const { return std::min(layout.full(), features - p * layout.full()); }
  T* panel(int p) { return data + p * stride(); }
  const T* panel(int p) const { return data + p * stride(); }
};

// A vector, padded.
template <class T>
std::vector<T> padded(Layout layout, int features, const T* from) {
  std::vector<T> v(static_cast<std::size_t>(layout.panels(features) * layout.full()));
  if (from != nullptr) std::copy_n(from, features, v.begin());
  return v;
}

inline py::array array(const char* function, const char* name, const py::object& object, py::ssize_t ndim) {
  py::array a = array_of(function, name, object);
  if (ndim >= 0 && a.ndim() != ndim)
    refuse(function, name, std::to_string(ndim) + " dimensions", "shape " + shape_text(a));
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) > (1 << 30)) refuse(function, name, "at most 2^30 along an axis", "shape " + shape_text(a));
  return a;
}
inline int rows_of(const py::array& a) { return static_cast<int>(a.shape(0)); }
inline int columns_of(const py::array& a) { return static_cast<int>(a.shape(1)); }

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

template <class T>
std::ptrdiff_t whole_size(const char* function, const char* name, const py::array& a, T** data, bool writable = false) {
  *data = dense<T>(function, name, a, std::vector<py::ssize_t>(a.shape(), a.shape() + a.ndim()), writable);
  return a.size();
}

}  // namespace evenflow
