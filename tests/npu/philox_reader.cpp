// philox_reader LIBRARY WORDS: prints what framework/torch_npu_compat.h reads, for a generator with seed 7.
#include <ATen/CPUGeneratorImpl.h>

#include <cstdio>
#include <cstdlib>

#include "torch_npu_compat.h"

int main(int, char** arguments) {
  if (dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL) == nullptr) return 2;
  try {
    const auto state =
        npufa::torch_npu::DrawPhilox(at::detail::createCPUGenerator(7), std::strtoull(arguments[2], nullptr, 0));
    std::printf("%d %lu %lu %p %p %lu\n", state.captured, state.seed, state.offset,
                static_cast<const void*>(state.seed_tensor), static_cast<const void*>(state.offset_tensor),
                state.offset_in_graph);
  } catch (const c10::Error& error) {
    std::printf("%s\n", error.what_without_backtrace());
  }
}
