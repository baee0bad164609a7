// A team of threads that runs one function and meets at barriers.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#if defined(EVENFLOW_OPENMP)
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace evenflow {

// Threads spin, since phases are microseconds long, and yield when somebody is not running at all.
class Barrier {
 public:
  void wait(int count) {
    if (count == 1) return;
    const unsigned generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins) {
      if (spins > 4000) sched_yield();
#if defined(__x86_64__)
      _mm_pause();
#elif defined(__aarch64__)
      __asm__ __volatile__("yield");
#endif
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> generation_{0};
};

namespace team {

// After fork the parent's OpenMP threads are gone, but OpenMP does not know: there a fresh thread starts a new pool.
inline std::atomic<bool>& forked() {
  static std::atomic<bool> flag{false};
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forked().store(true); });
  (void)registered;
  return flag;
}

// f(thread, count) on a team of at most `wanted` threads: OpenMP may start fewer. f must not throw.
template <class F>
void run(int wanted, F f) {
  if (wanted == 1) {
    f(0, 1);
    return;
  }
#if defined(EVENFLOW_OPENMP)
  const auto region = [&] {
#pragma omp parallel num_threads(wanted)
    f(omp_get_thread_num(), omp_get_num_threads());
  };
  if (forked().load()) {
    std::thread(region).join();
  } else {
    region();
  }
#else
  std::vector<std::thread> threads;
  for (int t = 1; t < wanted; ++t) threads.emplace_back(f, t, wanted);
  f(0, wanted);
  for (auto& thread : threads) thread.join();
#endif
}

// How many threads a region asked for `wanted` will really have: OpenMP may give fewer.
inline int granted(int wanted) {
#if defined(EVENFLOW_OPENMP)
  if (omp_in_parallel()) return 1;
  const int limit = omp_get_thread_limit();
  return wanted < limit ? wanted : limit;
#else
  return wanted;
#endif
}

// The process-wide limit: set_num_threads, else EVENFLOW_NUM_THREADS, else OpenMP's, the affinity's and the cgroup's.
int limit();
void set_limit(int threads);  // 0: the default again

}  // namespace team
}  // namespace evenflow
