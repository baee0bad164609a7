// Keeps a second thread out of a program.
#pragma once

#include <atomic>
#include <stdexcept>

namespace evenflow {

// One thread at a time: a program is one block of memory.
class Busy {
 public:
  explicit Busy(std::atomic_flag& flag) : flag_(flag) {
    if (flag_.test_and_set())
      throw std::runtime_error("Program: in use by another thread; make one program for each thread");
  }
  ~Busy() { flag_.clear(); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::atomic_flag& flag_;
};

}  // namespace evenflow
