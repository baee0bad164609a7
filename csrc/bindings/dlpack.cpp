#include "bindings/dlpack.h"

#include <cstdint>

namespace evenflow {

namespace {

// The structures of DLPack 1.0 and of the form before, as its header has them.
struct DLTensor {
  void* data;
  struct {
    std::int32_t type, id;
  } device;
  std::int32_t ndim;
  struct {
    std::uint8_t code, bits;
    std::uint16_t lanes;
  } dtype;
  std::int64_t *shape, *strides;  // in elements; nullptr: C order
  std::uint64_t byte_offset;
};
struct DLManagedTensor {
  static constexpr const char *name = "dltensor", *used = "used_dltensor";
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);

  bool read_only() const { return false; }
};
struct DLManagedTensorVersioned {
  static constexpr const char *name = "dltensor_versioned", *used = "used_dltensor_versioned";
  struct {
    std::uint32_t major, minor;
  } version;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  std::uint64_t flags;
  DLTensor tensor;

  bool read_only() const { return (flags & 1) != 0; }
};
constexpr std::int32_t cpu = 1;

py::object dtype_of(const DLTensor& t) {
  if (t.dtype.lanes == 1 && t.dtype.code == 6 && t.dtype.bits == 8) return py::dtype::of<bool>();
  if (t.dtype.lanes != 1 || t.dtype.code > 2 || t.dtype.bits < 8 || t.dtype.bits > 64) return py::none();
  const char* kinds[] = {"i", "u", "f"};
  if (t.dtype.code == 2 && t.dtype.bits < 16) return py::none();
  return py::dtype(kinds[t.dtype.code] + std::to_string(t.dtype.bits / 8));
}

template <class Managed>
py::array view(const char* function, const char* argument, const py::object& capsule) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::name));
  const DLTensor& t = managed->tensor;
  const py::object dtype = dtype_of(t);
  if (dtype.is_none())
    refuse_type(function, argument, "numbers",
                "elements of DLPack type " + std::to_string(t.dtype.code) + " of " + std::to_string(t.dtype.bits) +
                    " bits, which NumPy does not have");
  const py::ssize_t size = dtype.cast<py::dtype>().itemsize();
  std::vector<py::ssize_t> shape(t.shape, t.shape + t.ndim), strides(shape.size());
  py::ssize_t stride = size;
  for (std::size_t i = shape.size(); i-- > 0; stride *= shape[i])
    strides[i] = t.strides == nullptr ? stride : static_cast<py::ssize_t>(t.strides[i]) * size;
  // From here on the tensor is ours to delete.
  const py::capsule owner(static_cast<void*>(managed), [](void* mine) {
    auto* own = static_cast<Managed*>(mine);
    if (own->deleter != nullptr) own->deleter(own);
  });
  PyCapsule_SetName(capsule.ptr(), Managed::used);
  py::array a(dtype.cast<py::dtype>(), std::move(shape), std::move(strides), static_cast<char*>(t.data) + t.byte_offset,
              owner);
  if (managed->read_only()) a.attr("setflags")(py::arg("write") = false);
  return a;
}

}  // namespace

py::array array_of_dlpack(const char* function, const char* argument, const py::handle& object) {
  const std::string type = text(py::type::handle_of(object).attr("__name__"));
  if (!py::hasattr(object, "__dlpack_device__"))
    refuse_type(function, argument, "an array with __dlpack_device__ beside __dlpack__", "a " + type);
  const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  if (device.first != cpu)
    refuse(function, argument, "memory of the CPU",
           "a " + type + " of DLPack device type " + std::to_string(device.first));
  py::object capsule;
  try {
    try {
      capsule = object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
    } catch (const py::error_already_set& error) {  // a library of before DLPack 1.0
      if (!error.matches(PyExc_TypeError)) throw;
      capsule = object.attr("__dlpack__")();
    }
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_BufferError) && !error.matches(PyExc_RuntimeError)) throw;
    refuse(function, argument, "an array whose memory may be shared", "a " + type + ": " + text(error.value()));
  }
  if (PyCapsule_IsValid(capsule.ptr(), DLManagedTensorVersioned::name))
    return view<DLManagedTensorVersioned>(function, argument, capsule);
  if (PyCapsule_IsValid(capsule.ptr(), DLManagedTensor::name))
    return view<DLManagedTensor>(function, argument, capsule);
  refuse_type(function, argument, "a DLPack capsule", text(py::repr(capsule)));
}

}  // namespace evenflow
