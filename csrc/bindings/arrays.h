// Checks of NumPy arrays. Nothing is converted: what does not fit is refused with what was expected and received.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "program/feed.h"

namespace evenflow {

namespace py = pybind11;

inline std::string text(const py::handle& object) { return py::str(object).cast<std::string>(); }

inline std::string shape_text(const py::array& a) { return text(a.attr("shape")) + " of " + text(a.dtype()); }

[[noreturn]] inline void refuse(const std::string& function, const std::string& argument, const std::string& expected,
                                const std::string& received) {
  throw py::value_error(function + ": argument '" + argument + "': expected " + expected + ", received " + received);
}
[[noreturn]] inline void refuse_type(const std::string& function, const std::string& argument,
                                     const std::string& expected, const std::string& received) {
  throw py::type_error(function + ": argument '" + argument + "': expected " + expected + ", received " + received);
}

inline bool is(const py::array& a, const char* dtype) {
  return a.dtype().is(py::dtype(dtype)) || a.dtype().equal(py::dtype(dtype));
}

// Whether elements are of type T in this machine's order of bytes.
template <class T>
bool holds(const py::array& a) {
  const py::dtype own = py::dtype::of<T>(), other = a.dtype();
  return other.is(own) || other.equal(own);
}

inline py::array array_of(const std::string& function, const std::string& argument, const py::handle& object) {
  if (!py::isinstance<py::array>(object))
    refuse_type(function, argument, "a NumPy array", text(py::type::handle_of(object).attr("__name__")));
  return py::reinterpret_borrow<py::array>(object);
}

// A C-ordered, aligned array of element type T with the given shape (-1: any).
template <class T, class Function, class Argument>
T* dense(const Function& function, const Argument& argument, const py::array& a, const std::vector<py::ssize_t>& shape,
         bool writable = false) {
  bool fits = a.ndim() == static_cast<py::ssize_t>(shape.size());
  for (std::size_t i = 0; i < shape.size() && fits; ++i)
    fits = shape[i] < 0 || a.shape(static_cast<py::ssize_t>(i)) == shape[i];
  if (!fits) {
    std::string wanted = "(";
    for (std::size_t i = 0; i < shape.size(); ++i)
      wanted += (i > 0 ? ", " : "") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
    refuse(function, argument, "shape " + wanted + (shape.size() == 1 ? ",)" : ")"), "shape " + shape_text(a));
  }
  if (!holds<T>(a)) refuse_type(function, argument, text(py::dtype::of<T>()), "shape " + shape_text(a));
  if ((a.flags() & py::array::c_style) == 0)
    refuse(function, argument, "a C-ordered array", "other strides, shape " + shape_text(a));
  if (reinterpret_cast<std::uintptr_t>(a.data()) % alignof(T) != 0)
    refuse(function, argument, "aligned memory", "unaligned memory");
  if (writable && !a.writeable())
    refuse(function, argument, "a writable array", "a read-only one of shape " + shape_text(a));
  return static_cast<T*>(const_cast<void*>(a.data()));
}

inline bool overlap(const py::array& a, const py::array& b) {
  const char *x = static_cast<const char*>(a.data()), *y = static_cast<const char*>(b.data());
  return a.nbytes() > 0 && b.nbytes() > 0 && x < y + b.nbytes() && y < x + a.nbytes();
}

// A 2-D array (or 1-D, for labels) of any strides, to be read where it lies.
inline Feed feed_of(const std::string& function, const std::string& argument, const py::array& a, int columns,
                    bool labels) {
  Feed feed;
  if (is(a, "float32"))
    feed.element = Element::f32;
  else if (is(a, "float64"))
    feed.element = Element::f64;
  else if (is(a, "uint8"))
    feed.element = Element::u8;
  else if (is(a, "int32"))
    feed.element = Element::i32;
  else if (is(a, "int64"))
    feed.element = Element::i64;
  else
    refuse_type(function, argument, "float32, float64, uint8, int32 or int64", text(a.dtype()));
  if (labels && (feed.element == Element::f32 || feed.element == Element::f64))
    refuse_type(function, argument, "integer labels", text(a.dtype()));
  const bool flat = labels && a.ndim() == 1;
  if (!flat && (a.ndim() != 2 || a.shape(1) != columns))
    refuse(function, argument, (labels ? "shape (rows,) or (rows, " : "shape (rows, ") + std::to_string(columns) + ")",
           "shape " + shape_text(a));
  feed.data = static_cast<const char*>(a.data());
  feed.rows = a.shape(0);
  feed.columns = columns;
  feed.row_stride = a.strides(0);
  feed.column_stride = flat ? 0 : a.strides(1);
  return feed;
}

// Row and column of the first value that is no whole number in [0, limit).
inline std::pair<std::int64_t, int> find_wrong_id(const Feed& x, int limit) {
  std::vector<double> values(static_cast<std::size_t>(x.columns));
  for (std::int64_t row = 0; row < x.rows; ++row) {
    convert_row(values.data(), x, x.data + row * x.row_stride, 0, x.columns);
    bool all = true;
    for (double value : values) all &= value >= 0 && value < limit && value == std::trunc(value);
    if (all) continue;
    for (int c = 0; c < x.columns; ++c) {
      const double value = values[static_cast<std::size_t>(c)];
      if (!(value >= 0 && value < limit && value == std::trunc(value))) return {row, c};
    }
  }
  return {-1, 0};
}

}  // namespace evenflow
