#include "bindings/packed_weights.h"

#include <cstring>

namespace evenflow {

PackedWeights::PackedWeights(const py::object& w, bool transposed) { assign(w, transposed); }

void PackedWeights::assign(const py::object& w, bool transposed) {
  const char* name = "PackedWeights";
  const py::array a = array(name, "w", w, 2);
  by_type(name, "w", a, [&](auto type) {
    using T = decltype(type);
    T* data;
    whole_size<T>(name, "w", a, &data);
    const Kernels<T>& k = kernels<T>();
    const int rows = rows_of(a), columns = columns_of(a);
    const Weights<T> from{transposed ? columns : rows, transposed ? rows : columns, data, transposed, nullptr};
    if (inputs_ != 0 && (from.inputs != inputs_ || from.units != units_ || !dtype.is(py::dtype::of<T>())))
      refuse(name, "w",
             "shape (" + std::to_string(transposed ? units_ : inputs_) + ", " +
                 std::to_string(transposed ? inputs_ : units_) + ") of " + text(dtype),
             "shape " + shape_text(a));
    const auto panel = static_cast<std::size_t>(from.inputs) * static_cast<std::size_t>(k.layout.full());
    const auto padded =
        static_cast<std::size_t>(k.layout.padded(from.inputs)) * static_cast<std::size_t>(k.layout.full());
    const int panels = k.layout.panels(from.units);
    const std::size_t bytes = sizeof(T) * (panel * static_cast<std::size_t>(panels) + padded);
    if (isa_ == nullptr || bytes != bytes_)
      memory_.reset(static_cast<char*>(::operator new(bytes, std::align_val_t{64})));
    bytes_ = bytes;
    dtype = py::dtype::of<T>();
    inputs_ = from.inputs;
    units_ = from.units;
    isa_ = k.isa;
    T* to = static_cast<T*>(static_cast<void*>(memory_.get()));
    py::gil_scoped_release nogil;
    const Scratch scratch(sizeof(T) * 2 * padded);
    T *const one = static_cast<T*>(scratch.data()), *const flip = one + padded;
    for (int p = 0; p < panels; ++p) {
      const Panels<T> packed = from.of_units(k, one, flip, p, p + 1);
      std::memcpy(
          to + static_cast<std::size_t>(p) * panel, packed[0],
          sizeof(T) * static_cast<std::size_t>(from.inputs) * static_cast<std::size_t>(k.layout.width(from.units, p)));
    }
  });
}

py::object PackedWeights::unpack(const py::object& out) const {
  const char* name = "PackedWeights.unpack";
  check_isa(name);
  const auto run = [&](auto type) {
    using T = decltype(type);
    Outputs outputs(name, out, 1);
    T* to = outputs.add<T>({inputs_, units_});
    const Kernels<T>& k = kernels<T>();
    const T* from = weights<T>(name, inputs_).packed;
    {
      py::gil_scoped_release nogil;
      for (int row = 0; row < inputs_; ++row)
        k.collect(to + static_cast<std::ptrdiff_t>(row) * units_, from,
                  static_cast<std::ptrdiff_t>(inputs_) * k.layout.full(), row, units_);
    }
    return outputs.one();
  };
  return dtype.is(py::dtype::of<float>()) ? run(float{}) : run(double{});
}

void PackedWeights::check_isa(const char* function) const {
  if (std::strcmp(isa_, evenflow::isa()) != 0)
    refuse(function, "w", std::string("weights packed for ") + evenflow::isa(), std::string("packed for ") + isa_);
}

void bind_packed_weights(py::module_& m) {
  py::class_<PackedWeights>(m, "PackedWeights", "Weights [inputs, units] in the kernels' own layout, for many calls.")
      .def(py::init<const py::object&, bool>(), py::arg("w"), py::kw_only(), py::arg("transposed") = false)
      .def("assign", &PackedWeights::assign, py::arg("w"), py::kw_only(), py::arg("transposed") = false,
           "Packs other values of the same shape and type into the same memory.")
      .def("unpack", &PackedWeights::unpack, py::kw_only(), py::arg("out") = py::none(),
           "The weights [inputs, units] in C order.")
      .def_property_readonly("shape", [](const PackedWeights& p) { return py::make_tuple(p.inputs(), p.units()); })
      .def_property_readonly("dtype", [](const PackedWeights& p) { return p.dtype; })
      .def_property_readonly("isa", [](const PackedWeights& p) { return std::string(p.isa()); })
      .def_property_readonly("nbytes", &PackedWeights::bytes);
}

}  // namespace evenflow
