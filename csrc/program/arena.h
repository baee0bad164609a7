// One block of zeroed memory, given out in pieces that start on cache lines.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <string>

namespace evenflow {

// What a network would have needed.
class TooLarge : public std::bad_alloc {
 public:
  explicit TooLarge(const std::string& received)
      : text_("Program: expected a network that fits into this machine's memory of " + gigabytes(memory()) +
              ", received one of " + received) {}
  const char* what() const noexcept override { return text_.c_str(); }

  static double memory() {
    return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  }
  static std::string gigabytes(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g GB", bytes * 1e-9);
    return text;
  }

 private:
  std::string text_;
};

// A number of elements; one that no memory could hold is refused.
inline std::ptrdiff_t product(std::ptrdiff_t a, std::ptrdiff_t b) {
  std::ptrdiff_t result;
  if (__builtin_mul_overflow(a, b, &result) || result > (std::ptrdiff_t{1} << 50))
    throw TooLarge("more than 2^50 numbers");
  return result;
}

// The first address of a cache line from here on: a vector that lies on two lines is read twice.
template <class T>
T* on_line(T* from) {
  return reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(from) + 63) / 64 * 64);
}

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }

  // More than the machine's memory is refused here: the kernel would promise it and kill the process later.
  void allocate(std::size_t bytes) {
    const double wanted = static_cast<double>(bytes);
    if (wanted > TooLarge::memory()) throw TooLarge(TooLarge::gigabytes(wanted));
    bytes_ = (bytes + huge_page - 1) / huge_page * huge_page;
    void* block = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) throw TooLarge(TooLarge::gigabytes(wanted));
    data_ = block;
#if defined(MADV_HUGEPAGE)
    if (bytes >= huge_page) madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
  }
  void* data() const { return data_; }

 private:
  static constexpr std::size_t huge_page = std::size_t{1} << 21;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace evenflow
