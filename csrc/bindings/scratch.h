// Memory of an eager call. Its thread keeps it for the next call, up to a limit: fresh pages from the system would cost
// more than the arithmetic.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace evenflow {

class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : block_(Spare::of_this_thread().take(bytes)) {}
  ~Scratch() { Spare::of_this_thread().put(std::move(block_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* data() const { return block_.memory.get(); }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(char* memory) const { ::operator delete(memory, alignment); }
  };
  struct Block {
    std::unique_ptr<char, Free> memory;
    std::size_t bytes = 0;
  };

  class Spare {
   public:
    static Spare& of_this_thread() {
      static thread_local Spare spare;
      return spare;
    }
    // The smallest spare block that is large enough, unless most of it would lie idle; else a new one.
    Block take(std::size_t bytes) {
      std::size_t best = blocks_.size();
      for (std::size_t i = 0; i < blocks_.size(); ++i)
        if (blocks_[i].bytes >= bytes && blocks_[i].bytes / 4 <= bytes &&
            (best == blocks_.size() || blocks_[i].bytes < blocks_[best].bytes))
          best = i;
      Block block;
      if (best < blocks_.size()) {
        std::swap(blocks_[best], blocks_.back());
        block = std::move(blocks_.back());
        blocks_.pop_back();
        kept_ -= block.bytes;
      } else {
        block.memory.reset(static_cast<char*>(::operator new(bytes, alignment)));
        block.bytes = bytes;
      }
      return block;
    }
    // The oldest blocks make room.
    void put(Block block) {
      constexpr std::size_t limit = std::size_t{64} << 20;
      if (block.bytes > limit) return;
      kept_ += block.bytes;
      blocks_.push_back(std::move(block));
      while (kept_ > limit || blocks_.size() > 16) {
        kept_ -= blocks_.front().bytes;
        blocks_.erase(blocks_.begin());
      }
    }

   private:
    std::vector<Block> blocks_;
    std::size_t kept_ = 0;
  };

  Block block_;
};

}  // namespace evenflow
