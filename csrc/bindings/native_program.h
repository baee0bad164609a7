// The Program class of the processor.
#pragma once

#include "bindings/python_program.h"
#include "program/program.h"

namespace evenflow {

using PyProgram = PyProgramOf<Program>;

}  // namespace evenflow
