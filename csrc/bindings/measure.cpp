// The ceilings of this machine, for `evenflow bench`.
#include <chrono>
#include <vector>

#include "bindings/arrays.h"
#include "kernels/kernels.h"
#include "program/team.h"

namespace evenflow {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Runs work(thread) again and again on all threads; the best rate of its rounds, units per second.
template <class Work>
double best_rate(int threads, double seconds, Work work) {
  std::vector<double> begin(static_cast<std::size_t>(threads)), end(begin), done(begin);
  double best = 0;
  const double start = now();
  do {
    Barrier barrier;
    team::run(threads, [&](int thread, int count) {
      const auto t = static_cast<std::size_t>(thread);
      barrier.wait(count);
      begin[t] = now();
      done[t] = work(thread);
      end[t] = now();
    });
    double first = begin[0], last = end[0], total = 0;
    for (std::size_t t = 0; t < begin.size(); ++t) {
      first = begin[t] < first ? begin[t] : first;
      last = end[t] > last ? end[t] : last;
      total += done[t];
    }
    best = total / (last - first) > best ? total / (last - first) : best;
  } while (now() - start < seconds);
  return best;
}

double measure_fma(int threads, double seconds) {
  if (threads < 1 || threads > 4096) refuse("measure_fma", "threads", "1 to 4096", std::to_string(threads));
  py::gil_scoped_release nogil;
  const auto& k = kernels<float>();
  std::vector<std::vector<float>> sinks(static_cast<std::size_t>(threads), std::vector<float>(64, 0.5f));
  return best_rate(team::granted(threads), seconds,
                   [&](int thread) { return k.multiply_add(200000, sinks[static_cast<std::size_t>(thread)].data()); });
}

// The stream of an update over a working set of `bytes`: p, g and m are read, p and m written, 20 bytes a parameter.
double measure_bandwidth(std::int64_t bytes, int threads, double seconds) {
  if (bytes < 4096) refuse("measure_bandwidth", "bytes", "at least 4096", std::to_string(bytes));
  if (threads < 1 || threads > 4096) refuse("measure_bandwidth", "threads", "1 to 4096", std::to_string(threads));
  py::gil_scoped_release nogil;
  const auto& k = kernels<float>();
  const int count = team::granted(threads);
  const std::ptrdiff_t own = bytes / 12 / count / 64 * 64 + 64;
  std::vector<std::vector<float>> memory(static_cast<std::size_t>(3 * count));
  for (auto& part : memory) part.assign(static_cast<std::size_t>(own), 0.0f);
  const int passes = static_cast<int>(1 + (std::ptrdiff_t{1} << 22) / own);
  return best_rate(count, seconds, [&](int thread) {
    float* at[3];
    for (int i = 0; i < 3; ++i) at[i] = memory[static_cast<std::size_t>(3 * thread + i)].data();
    float* slots[1] = {at[2]};
    for (int pass = 0; pass < passes; ++pass) k.update(Momentum{0.9, 0.0, 0.0}, {}, {}, at[0], at[1], slots, own);
    return 20.0 * static_cast<double>(own) * passes;
  });
}

}  // namespace

void bind_measure(py::module_& m) {
  m.def("measure_fma", &measure_fma, py::arg("threads"), py::arg("seconds"));
  m.def("measure_bandwidth", &measure_bandwidth, py::arg("bytes"), py::arg("threads"), py::arg("seconds"));
}

}  // namespace evenflow
