// The handlers that XLA calls, as Python registers them.
#include "bindings/xla_dense.h"
#include "bindings/xla_updates.h"

namespace evenflow {

namespace {

template <class... Call>
py::dict handlers() {
  py::dict all;
  ((all[Call::name] = py::capsule(reinterpret_cast<void*>(&xla_handler<Call>))), ...);
  return all;
}

}  // namespace

void bind_xla(py::module_& m) { m.def("xla_handlers", &handlers<XlaForward, XlaBackward, XlaUpdate, XlaClip>); }

}  // namespace evenflow
