// What the environment may switch off.
#pragma once

#include <cstdlib>
#include <cstring>

namespace evenflow {

// EVENFLOW_FUSION=0 asks for the plain order of work: no bit of a result changes.
inline bool fusion_wished() {
  const char* wish = std::getenv("EVENFLOW_FUSION");
  return wish == nullptr || std::strcmp(wish, "0") != 0;
}

}  // namespace evenflow
