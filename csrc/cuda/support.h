// Which plans the device runs: what it cannot do is refused by name, before anything is made.
#pragma once

#include "program/plan.h"

namespace evenflow::cuda {

void refuse_unsupported(const Plan& plan);

}  // namespace evenflow::cuda
