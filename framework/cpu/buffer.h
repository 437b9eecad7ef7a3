// Uninitialised scratch memory aligned to a cache line.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace npufa::cpu {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::int64_t count) { Resize(count); }

  // Contents are lost.
  void Resize(std::int64_t count) {
    constexpr std::size_t kLine = 64;
    const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
    memory_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes ? bytes : kLine)));
    if (!memory_) throw std::bad_alloc();
  }
  T* data() const { return memory_.get(); }
  T& operator[](std::int64_t i) const { return memory_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> memory_;
};

}  // namespace npufa::cpu
