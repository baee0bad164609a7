// Data sets on the device, copied when they are first met.
#pragma once

#include <cstdint>
#include <list>

#include "cuda/arguments.h"
#include "cuda/memory.h"

namespace evenflow::cuda {

class Resident {
 public:
  // A call begins: what it does not ask for may make room.
  void begin() {
    for (Held& held : held_) held.used = false;
  }
  // The rows of a feed, `rows` in all: those of an earlier call with the same memory, unless they were forgotten.
  Table table(const Feed& feed, std::int64_t rows, cudaStream_t stream);
  // A copy for one call, until it is released.
  Table once(const Feed& feed, std::int64_t rows, cudaStream_t stream);
  void release() { once_ = Buffer(); }
  void clear() { held_.clear(); }

 private:
  struct Held {
    Feed feed;
    std::int64_t rows;
    Buffer buffer;
    bool used;
  };
  static constexpr std::size_t most = 16;  // data sets at a time
  Buffer copy(const Feed& feed, std::int64_t rows, cudaStream_t stream);

  std::list<Held> held_;  // the last one met first
  Buffer once_;
};

}  // namespace evenflow::cuda
