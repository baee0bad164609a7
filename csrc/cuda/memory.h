// Memory of the device, and what went wrong with it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace evenflow::cuda {

class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::size_t bytes) {
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    std::snprintf(text_, sizeof text_, "Program: expected room on the GPU for %.3g GB, received %.3g GB free of %.3g",
                  static_cast<double>(bytes) * 1e-9, static_cast<double>(free) * 1e-9,
                  static_cast<double>(total) * 1e-9);
  }
  const char* what() const noexcept override { return text_; }

 private:
  char text_[160];
};

inline void check(cudaError_t result, const char* doing) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // an error that is over does not show up again
  throw std::runtime_error(std::string("Program: the GPU failed while ") + doing + ": " + cudaGetErrorString(result));
}

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    const cudaError_t result = cudaMalloc(&data_, bytes);
    if (result == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw OutOfMemory(bytes);
    }
    check(result, "allocating memory");
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) cudaFree(data_);
  }

  template <class T = void>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  // At least so large; what was there is lost when it grows.
  void* reserve(std::size_t bytes) {
    if (bytes > bytes_) {
      *this = Buffer();
      *this = Buffer(bytes + bytes / 2);
    }
    return data_;
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

inline void upload(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "copying to it");
}
inline void download(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "copying from it");
}

}  // namespace evenflow::cuda
