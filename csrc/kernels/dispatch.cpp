// Which instruction set: the best this machine has, unless EVENFLOW_ISA or use_isa says otherwise.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "kernels/kernels.h"

namespace evenflow {

#define EVENFLOW_DECLARE(isa)                  \
  namespace isa {                              \
  extern const Kernels<float> kernels_float;   \
  extern const Kernels<double> kernels_double; \
  }
#if defined(__x86_64__)
EVENFLOW_DECLARE(avx512)
EVENFLOW_DECLARE(avx2)
#endif
EVENFLOW_DECLARE(baseline)

namespace {

struct Entry {
  const char* name;
  const Kernels<float>* of_float;
  const Kernels<double>* of_double;
  bool (*supported)();
};

// In order of preference.
const Entry entries[] = {
#if defined(__x86_64__)
    {"avx512", &avx512::kernels_float, &avx512::kernels_double,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
     }},
    {"avx2", &avx2::kernels_float, &avx2::kernels_double,
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
    {"baseline", &baseline::kernels_float, &baseline::kernels_double, [] { return true; }},
};
constexpr int count = sizeof entries / sizeof entries[0];

const Entry* find(const char* name) {
  for (const Entry& entry : entries)
    if (std::strcmp(entry.name, name) == 0 && entry.supported()) return &entry;
  return nullptr;
}

const char* const* supported() {
  static const char* names[count + 1] = {};
  int n = 0;
  for (const Entry& entry : entries)
    if (entry.supported()) names[n++] = entry.name;
  return names;
}

const Entry* initial() {
  const char* wish = std::getenv("EVENFLOW_ISA");
  const Entry* entry = wish != nullptr ? find(wish) : nullptr;
  return entry != nullptr ? entry : find(supported()[0]);
}

std::atomic<const Entry*>& current() {
  static std::atomic<const Entry*> entry{initial()};
  return entry;
}

template <class T>
const Kernels<T>& table(const Entry& entry) {
  if constexpr (std::is_same_v<T, float>)
    return *entry.of_float;
  else
    return *entry.of_double;
}

}  // namespace

template <class T>
const Kernels<T>& kernels() {
  return table<T>(*current().load());
}
template const Kernels<float>& kernels();
template const Kernels<double>& kernels();

const char* const* isas() {
  static const char* const* const names = supported();
  return names;
}
const char* isa() { return current().load()->name; }
bool use_isa(const char* name) {
  const Entry* entry = find(name);
  if (entry != nullptr) current().store(entry);
  return entry != nullptr;
}
const char* rejected_isa() {
  const char* wish = std::getenv("EVENFLOW_ISA");
  return wish != nullptr && *wish != '\0' && find(wish) == nullptr ? wish : nullptr;
}

}  // namespace evenflow
