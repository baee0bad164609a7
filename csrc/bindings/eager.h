// Eager kernels on C-ordered arrays: packed into panels, run through the same table as a program, unpacked. What a
// program computes can be typed by hand with these, bit for bit.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/dlpack.h"
#include "bindings/scratch.h"
#include "kernels/kernels.h"
#include "program/team.h"

namespace evenflow {

constexpr int most_lanes = 16;

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

// A NumPy array, or what another library lends by DLPack; of so many dimensions, unless that is -1.
inline py::array array(const char* function, const char* name, const py::object& object, py::ssize_t ndim) {
  const bool foreign = !py::isinstance<py::array>(object);
  if (foreign && !py::hasattr(object, "__dlpack__"))
    refuse_type(function, name, "a NumPy array, or one with __dlpack__",
                text(py::type::handle_of(object).attr("__name__")));
  py::array a = foreign ? array_of_dlpack(function, name, object) : py::reinterpret_borrow<py::array>(object);
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
  if (holds<float>(a)) return f(float{});
  if (!holds<double>(a)) refuse_type(function, name, "float32 or float64", "shape " + shape_text(a));
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

// Where the results of a call go: new arrays, or those that the caller gave as `out`, which are returned as they came.
// They share no memory with each other or with what the call reads, unless `elementwise`: then out may be an input.
class Outputs {
 public:
  using Inputs = std::initializer_list<const py::object*>;  // null where there is none

  Outputs(const char* function, const py::object& out, std::size_t count) : function_(function), given_(count) {
    if (out.is_none()) return;
    if (count == 1) {
      given_[0] = out;
      return;
    }
    if (!py::isinstance<py::tuple>(out) && !py::isinstance<py::list>(out))
      refuse_type(function, "out", "a tuple of " + std::to_string(count) + " arrays",
                  text(py::type::handle_of(out).attr("__name__")));
    const auto all = py::reinterpret_borrow<py::sequence>(out);
    if (all.size() != count)
      refuse(function, "out", "a tuple of " + std::to_string(count) + " arrays", std::to_string(all.size()));
    for (std::size_t i = 0; i < count; ++i)
      if (const py::object one = all[i]; !one.is_none()) given_[i] = one;
  }

  template <class T>
  T* add(const std::vector<py::ssize_t>& shape, Inputs inputs = {}, bool elementwise = false) {
    const std::size_t i = results_.size();
    if (!given_[i]) {
      py::array fresh = made<T>(shape);
      results_.push_back(fresh);
      return data_of<T>(fresh);
    }
    const py::array own = array(function_, "out", given_[i], -1);
    T* data = dense<T>(function_, "out", own, shape, true);
    for (const py::object* input : inputs)
      if (const auto read = py::reinterpret_borrow<py::array>(*input);
          read && overlap(own, read) && !(elementwise && read.data() == own.data() && read.nbytes() == own.nbytes()))
        refuse(function_, "out", "memory of its own", "memory shared with an input");
    for (const py::array& other : arrays_)
      if (overlap(own, other)) refuse(function_, "out", "arrays that share no memory", "overlapping arrays");
    arrays_.push_back(own);
    results_.push_back(given_[i]);
    return data;
  }
  // In place of an output that nobody asked for.
  void skip() {
    if (given_[results_.size()])
      refuse(function_, "out",
             "None in place of result " + std::to_string(results_.size()) + ", which is not asked for",
             text(py::type::handle_of(given_[results_.size()]).attr("__name__")));
    results_.push_back(py::none());
  }
  py::object one() const { return results_[0]; }
  py::tuple all() const {
    py::tuple t(results_.size());
    for (std::size_t i = 0; i < results_.size(); ++i) t[i] = results_[i];
    return t;
  }

 private:
  const char* function_;
  std::vector<py::object> given_, results_;
  std::vector<py::array> arrays_;
};

// A share of [0, count): that of one thread of a team.
struct Share {
  int first, end;
  Share(int count, int part, int parts)
      : first(static_cast<int>(static_cast<std::int64_t>(count) * part / parts)),
        end(static_cast<int>(static_cast<std::int64_t>(count) * (part + 1) / parts)) {}
};

// Threads for a call of so many nanoseconds of one, at most so many (0: as many as there may be): a team costs some
// microseconds to call together, and so does asking how many there may be.
inline int eager_threads(double nanoseconds, int most = 0) {
  constexpr double worthwhile = 30'000;
  if (nanoseconds < 2 * worthwhile || most == 1) return 1;
  if (most == 0) most = team::granted(team::limit());
  return static_cast<int>(std::min<double>(most, nanoseconds / worthwhile));
}
constexpr double nanoseconds_of_flop = 1.0 / 150, nanoseconds_of_byte = 1.0 / 15;

// A thread's part of n elements, in whole lines of memory.
struct Slice {
  std::ptrdiff_t first, end;
  Slice(std::ptrdiff_t n, int thread, int threads) {
    constexpr std::ptrdiff_t line = 64;
    const std::ptrdiff_t lines = (n + line - 1) / line;
    first = lines * thread / threads * line;
    end = std::min(lines * (thread + 1) / threads * line, n);
  }
};

// f(first, count) for blocks of rows of so many bytes each, which stay in the second-level cache; on a team.
template <class F>
void in_row_blocks(int rows, std::size_t bytes, F f) {
  const auto most = static_cast<int>(
      std::clamp<std::size_t>((std::size_t{1} << 18) / std::max<std::size_t>(bytes, 1), 1, std::size_t{1} << 20));
  team::run(eager_threads(static_cast<double>(bytes) * rows * nanoseconds_of_byte), [&](int t, int threads) {
    const Share own(rows, t, threads);
    for (int first = own.first; first < own.end; first += most) f(first, std::min(most, own.end - first));
  });
}

template <class T>
std::ptrdiff_t whole_size(const char* function, const char* name, const py::array& a, T** data, bool writable = false) {
  *data = dense<T>(function, name, a, std::vector<py::ssize_t>(a.shape(), a.shape() + a.ndim()), writable);
  return a.size();
}

}  // namespace evenflow
