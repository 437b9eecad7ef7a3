// Uninitialised scratch memory aligned to a cache line.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "cpu/primitives/primitives.h"

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

// Scratch memory of bfloat16 planes.
class PlaneBuffer {
 public:
  // Contents are lost. `count` planes of rows x ld elements.
  void Resize(std::int64_t rows, std::int64_t ld, std::int64_t count) {
    constexpr std::int64_t kLine = 32;
    planes_ = {nullptr, ld, count, (rows * ld + kLine - 1) / kLine * kLine};
    memory_.Resize(count * planes_.stride);
    planes_.data = memory_.data();
  }
  // The planes from an element of each on.
  Bf16Planes From(std::int64_t offset) const { return planes_.From(offset); }
  const Bf16Planes& All() const { return planes_; }

 private:
  Bf16Planes planes_;
  Buffer<std::uint16_t> memory_;
};

}  // namespace npufa::cpu
