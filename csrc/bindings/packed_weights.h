// Weights that many calls use, packed once.
#pragma once

#include <memory>
#include <new>

#include "bindings/dense.h"

namespace evenflow {

class PackedWeights {
 public:
  PackedWeights(const py::object& w, bool transposed);
  void assign(const py::object& w, bool transposed);
  py::object unpack(const py::object& out) const;

  // Of this function's argument `w`, when it wants elements of type T and so many inputs (-1: any).
  template <class T>
  Weights<T> weights(const char* function, int inputs) const {
    if (!dtype.is(py::dtype::of<T>())) refuse_type(function, "w", text(py::dtype::of<T>()), "packed " + text(dtype));
    if (inputs >= 0 && inputs != inputs_)
      refuse(function, "w", "shape (" + std::to_string(inputs) + ", any)",
             "packed weights of shape (" + std::to_string(inputs_) + ", " + std::to_string(units_) + ")");
    check_isa(function);
    return {inputs_, units_, nullptr, false, static_cast<const T*>(static_cast<const void*>(memory_.get()))};
  }
  int inputs() const { return inputs_; }
  int units() const { return units_; }
  std::size_t bytes() const { return bytes_; }
  const char* isa() const { return isa_; }

  py::dtype dtype;

 private:
  struct Free {
    void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{64}); }
  };
  void check_isa(const char* function) const;

  int inputs_ = 0, units_ = 0;
  std::size_t bytes_ = 0;
  const char* isa_ = nullptr;
  std::unique_ptr<char, Free> memory_;
};

// The argument `w` of a function whose x has so many columns (-1: any number).
template <class T>
Weights<T> weights_of(const char* function, const py::object& w, int inputs, bool transposed, py::object& keep) {
  if (py::isinstance<PackedWeights>(w)) {
    if (transposed) refuse(function, "transposed", "False, since packed weights know how they lay", "True");
    return w.cast<const PackedWeights&>().weights<T>(function, inputs);
  }
  const py::array a = array(function, "w", w, 2);
  const T* data = transposed ? dense<T>(function, "w", a, {-1, inputs}) : dense<T>(function, "w", a, {inputs, -1});
  const int rows = rows_of(a), columns = columns_of(a);
  keep = a;
  return {transposed ? columns : rows, transposed ? rows : columns, data, transposed, nullptr};
}

void bind_packed_weights(py::module_& m);

}  // namespace evenflow
