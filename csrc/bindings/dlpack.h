// Arrays of other libraries, read where they lie: https://dmlc.github.io/dlpack
#pragma once

#include "bindings/arrays.h"

namespace evenflow {

// A view of an object with __dlpack__, which it keeps alive; read-only where the object says so.
py::array array_of_dlpack(const char* function, const char* argument, const py::handle& object);

}  // namespace evenflow
