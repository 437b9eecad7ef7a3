// The parts of libtorch_npu.so that are reached by name, and what differs in them between versions of torch_npu. Nothing
// here needs torch_npu to build or to load.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace npufa::torch_npu {

constexpr const char kLibrary[] = "libtorch_npu.so";

// A library that is in the process already, whoever loaded it.
inline void* Loaded(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  TORCH_CHECK(handle != nullptr, "npufa: ", library, " is not loaded; import torch_npu before operators run on an NPU");
  return handle;
}

// nullptr when the library has no such symbol.
template <class Function>
Function* FindOptional(const char* library, const char* symbol) {
  return reinterpret_cast<Function*>(dlsym(Loaded(library), symbol));
}

template <class Function>
Function* Find(const char* library, const char* symbol) {
  auto* function = FindOptional<Function>(library, symbol);
  TORCH_CHECK(function != nullptr, "npufa: ", library, " has no ", symbol,
              "; expected a torch_npu of docs/versions.md: python -m npufa doctor");
  return function;
}

// The aclrtStream of the device's current stream, without waiting for torch_npu's task queue. The only content of an
// NPUStream is a c10::Stream.
inline void* CurrentStream(c10::Device device) {
  static const auto handle =
      Find<void*(const c10::Stream*, bool need_empty_queue)>(kLibrary, "_ZNK7c10_npu9NPUStream6streamEb");
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  return handle(&stream, false);
}

// at::Context::defaultGenerator answers for NPUs from torch_npu 2.13 on.
inline at::Generator DefaultGenerator(c10::Device device) {
  static const auto generator =
      Find<const at::Generator&(c10::DeviceIndex)>(kLibrary, "_ZN6at_npu6detail22getDefaultNPUGeneratorEa");
  return generator(device.index());
}

// A position in the random sequence of a generator, in words. While a graph is captured it is the sum of a tensor,
// which torch_npu fills before every replay, and of the words that the graph has drawn so far.
struct PhiloxState {
  bool captured = false;
  std::uint64_t seed = 0, offset = 0;                                 // valid unless captured
  const at::Tensor *seed_tensor = nullptr, *offset_tensor = nullptr;  // valid if captured
  std::uint64_t offset_in_graph = 0;
};

// torch_npu's struct in memory: 64 bits for offset_in_graph from 2.11 on, 32 before, and no seed tensor up to 2.6.
// Without a copy constructor it is returned in place, so that what torch_npu did not write stays as it was.
struct PhiloxMemory {
  static constexpr unsigned char kUntouched = 0xA5;

  PhiloxMemory(const PhiloxMemory&) = delete;

  std::uint64_t seed, offset;  // or the addresses of tensors
  union {
    struct {
      std::uint64_t offset_in_graph;
      unsigned char captured;
    } wide;
    struct {
      std::uint32_t offset_in_graph;
      unsigned char captured;
    } narrow;
  };
  unsigned char beyond[32];
};

// Which of the layouts it is shows in what torch_npu wrote: the narrow one ends before `wide.captured`.
inline PhiloxState ReadPhilox(const PhiloxMemory& memory, std::uint64_t current_seed) {
  const bool narrow = memory.wide.captured == PhiloxMemory::kUntouched;
  const unsigned char captured = narrow ? memory.narrow.captured : memory.wide.captured;
  PhiloxState state;
  state.captured = captured == 1;
  if (state.captured) {
    // Up to torch_npu 2.6 the seed of a captured graph is a number, and its offset the address of one.
    TORCH_CHECK(memory.seed != current_seed,
                "npufa: this torch_npu cannot draw random numbers in a captured graph; "
                "expected 2.7 or newer, or a dropout_mask");
    state.seed_tensor = reinterpret_cast<const at::Tensor*>(memory.seed);
    state.offset_tensor = reinterpret_cast<const at::Tensor*>(memory.offset);
    state.offset_in_graph = narrow ? memory.narrow.offset_in_graph : memory.wide.offset_in_graph;
  } else {
    state.seed = memory.seed;
    state.offset = memory.offset;
  }
  TORCH_CHECK(captured <= 1 && (state.captured || state.seed == current_seed),
              "npufa: the state of torch_npu's "
              "random generator has an unknown layout; expected a torch_npu of docs/versions.md");
  return state;
}

// The state before a draw of so many words. The caller holds the generator's lock.
inline PhiloxState DrawPhilox(const at::Generator& generator, std::uint64_t words) {
  // A member of NPUGeneratorImpl.
  static const auto draw = Find<PhiloxMemory(c10::GeneratorImpl*, std::uint64_t)>(
      kLibrary, "_ZN6at_npu16NPUGeneratorImpl16philox_npu_stateEm");
  alignas(PhiloxMemory) unsigned char place[sizeof(PhiloxMemory)];
  std::memset(place, PhiloxMemory::kUntouched, sizeof(place));
  asm volatile("" : : "r"(place) : "memory");  // the bytes are written before the call, though nothing reads them here
  const auto* memory = new (place) PhiloxMemory(draw(generator.unsafeGetGeneratorImpl(), words));
  return ReadPhilox(*memory, generator.current_seed());
}

}  // namespace npufa::torch_npu
