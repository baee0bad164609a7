#include "program/team.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

namespace evenflow::team {

namespace {

std::atomic<int> chosen{0};

// Whole processors a cgroup v2 or v1 quota allows; 0 without one.
int quota() {
  double allowed = 0, period = 0;
  std::string word;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> word >> period && word != "max") allowed = std::stod(word);
  if (allowed <= 0) {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> allowed;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  return allowed > 0 && period > 0 ? static_cast<int>(std::ceil(allowed / period)) : 0;
}

int processors() {
  cpu_set_t set;
  int count = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  static const int allowed = quota();
  if (allowed > 0 && allowed < count) count = allowed;
  return count < 1 ? 1 : count;
}

int from_environment() {
  const char* text = std::getenv("EVENFLOW_NUM_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1 || value > 4096)
    throw std::invalid_argument("EVENFLOW_NUM_THREADS: expected a whole number from 1 to 4096, received '" +
                                std::string(text) + "'");
  return static_cast<int>(value);
}

}  // namespace

int limit() {
  if (const int threads = chosen.load(); threads > 0) return threads;
  static const int wished = from_environment();
  if (wished > 0) return wished;
  int count = processors();
#if defined(EVENFLOW_OPENMP)
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return omp_get_max_threads();
  if (omp_get_max_threads() < count) count = omp_get_max_threads();
#else
  // What people set for every library; of a list of nested levels, the first. OpenMP ignores what is no number.
  if (const char* text = std::getenv("OMP_NUM_THREADS"); text != nullptr) {
    const long value = std::strtol(text, nullptr, 10);
    if (value >= 1 && value <= 4096) return static_cast<int>(value);
  }
#endif
  return count;
}

void set_limit(int threads) { chosen.store(threads); }

}  // namespace evenflow::team
