// Products by NVIDIA's cuBLASLt, found when it is first asked for; without it the project's own kernel does them.
#pragma once

#include <memory>
#include <string>

#include "cuda/launch.h"
#include "cuda/memory.h"

namespace evenflow::cuda {

class Matmul {
 public:
  // Where the library lies; an empty name: where the system's loader finds it. Of the process.
  static void library(const std::string& path);
  static bool available();

  explicit Matmul(bool tf32);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // On one of the two streams, which have a workspace each.
  void operator()(cudaStream_t stream, int workspace, Form form, const Product<float>& p);
  void operator()(cudaStream_t stream, int workspace, Form form, const Product<double>& p);

 private:
  template <class T>
  void run(cudaStream_t stream, int workspace, Form form, const Product<T>& p);

  bool tf32_;
  void* handle_ = nullptr;
  Buffer workspaces_[2];
};

}  // namespace evenflow::cuda
