// The second executor of a plan: the same arena on a GPU, a step captured once for each batch size and replayed.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "cuda/launch.h"
#include "cuda/matmul.h"
#include "cuda/memory.h"
#include "cuda/resident.h"
#include "program/plan.h"
#include "program/run.h"
#include "program/spending.h"

namespace evenflow::cuda {

// What is asked of the process rather than of a program.
struct Settings {
  bool tf32 = false;    // products of float32 in NVIDIA's shorter format
  bool library = true;  // large products by cuBLASLt
};
Settings& settings();

template <class T>
class Program {
 public:
  // A panel is as wide as a layer: lanes only say how features are padded.
  static Layout layout(const Kernels<T>&) { return Layout{warp}; }
  Program(Plan plan, const Kernels<T>& kernels, bool fusion);
  ~Program();

  const Plan& plan() const { return plan_; }
  const Kernels<T>& kernels() const { return k_; }
  T* parameters() const { return parameters_; }  // on the device, as is all that has an address
  T* gradients() const { return gradients_; }
  T* slot(int s) const { return slots_ + s * plan_.trainable_size; }
  void unpack(const Variable& v, const T* from, T* to) const;
  void pack(const Variable& v, T* to, const T* from) const;

  Progress run(const Feeds& x, const Feeds& y, const Run& run);
  void predict(const Feeds& x, const std::vector<T*>& out);
  void reset_slots();
  double momenta_until(Momenta& known, std::int64_t step, const double* momentum) const;
  std::int64_t step() const { return iterations; }
  // Data sets are copied when they are first met; what lies there may have changed since.
  void forget_data() { resident_.clear(); }
  void touch_tables() {}  // of embeddings: there are none

  std::atomic<int> threads{0};  // of no meaning here
  std::int64_t iterations = 0;
  Momenta momenta;
  static constexpr int forward_rows = 0;
  bool norms_known = false;

 private:
  enum class Mode { train, evaluate, predict };
  using Key = std::tuple<Mode, int, int, bool, int>;  // rows, batch size, whether rows have weights, steps
  struct Graph {
    cudaGraphExec_t exec = nullptr;
    Graph() = default;
    Graph(const Graph&) = delete;
    ~Graph() {
      if (exec != nullptr) cudaGraphExecDestroy(exec);
    }
  };

  void place();  // the arena and what else lies on the device
  template <class E>
  E* table(const std::vector<E>& from);
  void describe_segments();  // of all stages
  void describe_update();
  void describe_metrics();
  std::size_t variable(int number) const { return static_cast<std::size_t>(number); }
  T* of_variable(int number) const {
    return number < 0 ? nullptr : parameters_ + plan_.variables[variable(number)].offset;
  }
  T* gradient_of(int number) const {
    return number < 0 || !plan_.variables[variable(number)].trainable
               ? nullptr
               : gradients_ + plan_.variables[variable(number)].offset;
  }

  Graph& graph(const Key& key);
  void enqueue(Mode mode, int rows, int batch_size, bool weighted);  // a step, to be captured
  void enqueue_forward(int rows, bool training);
  void enqueue_loss(int rows, bool training, bool weighted);
  void enqueue_backward(int rows);
  void enqueue_weights(cudaStream_t stream, std::size_t stage, int rows);
  void enqueue_update(int rows);
  void enqueue_update(cudaStream_t stream, std::size_t stage);
  void limit_norms_of(cudaStream_t stream, const Variable& v);
  // Whether kernels are updated as soon as nothing on the way down reads them any more. Norms need all gradients first,
  // and between small products one launch for all costs less than it saves.
  bool fused(int rows) const {
    return fusion_ && large(rows) && !plan_.penalized && update_.clip_norm == 0 && update_.global_norm == 0;
  }
  void multiply(cudaStream_t stream, Form form, const Product<T>& p);
  bool large(int rows) const { return rows > 2 * block_rows; }
  Normalized<T> normalized(std::size_t stage, int rows) const;
  Columns<T> columns(std::size_t stage, int rows, bool training) const;
  void enqueue_sums(cudaStream_t stream, int rows, bool weighted);
  void fork(cudaStream_t to);  // what comes next there waits for what was asked for so far
  void join(cudaStream_t from);

  Control begin(const Feeds& x, const Feeds& y, const Run& run);
  // What the steps from `first` on, of the epoch, do to parameters.
  void write_spendings(const Run& run, std::int64_t first, std::int64_t count);
  // Steps of a call, captured when they are first met: `count` of whole batches, and one of the rest of the rows.
  void replay(Mode mode, std::int64_t count, int batch_size, int rest, bool weighted);
  void add_results(Progress& progress);

  const Plan plan_;
  const Kernels<T> k_;
  const bool fusion_;
  cudaStream_t stream_ = nullptr, side_ = nullptr, sums_ = nullptr;  // of a step; of kernels' gradients; of sums
  cudaEvent_t event_ = nullptr;
  std::unique_ptr<Matmul> matmul_;
  Buffer arena_, order_, spendings_, classes_, out_;
  std::vector<Buffer> tables_;
  Resident resident_;
  T *parameters_ = nullptr, *gradients_ = nullptr, *slots_ = nullptr, *activations_ = nullptr, *targets_ = nullptr,
    *scratch_ = nullptr;
  std::vector<T*> dz_;  // of each stage
  std::int64_t* labels_ = nullptr;
  double *losses_ = nullptr, *weights_ = nullptr, *records_ = nullptr, *activity_sums_ = nullptr, *divisor_ = nullptr,
         *results_ = nullptr;
  Control* control_ = nullptr;
  std::vector<std::vector<Segment<T>>> segments_;   // of each stage
  std::vector<const Segment<T>*> device_segments_;  // and on the device, where there are many
  Update<T> update_;
  std::vector<std::pair<int, int>> slices_of_;  // of each stage's variables: the first, and the end
  AnyRule rule_;                                // of the kind that every step has
  std::vector<Sums::State> states_;
  const Sums::State* device_states_ = nullptr;
  const MetricOutput<T>* metrics_ = nullptr;
  std::ptrdiff_t result_count_ = first_state;
  int activity_panels_ = 0;
  std::map<Key, Graph> graphs_;
  std::map<std::pair<Mode, int>, double> seconds_;  // of a step of so many rows, as far as known
};

extern template class Program<float>;
extern template class Program<double>;

}  // namespace evenflow::cuda
