// Which instruction set the CPU kernels use.
#include <torch/library.h>

#include "cpu/primitives/capability.h"

TORCH_LIBRARY_IMPL(npufa, CompositeExplicitAutograd, m) {
  m.impl("_cpu_capability", []() -> std::string { return npufa::cpu::BestPrimitives().name; });
  m.impl("_cpu_capabilities", []() { return npufa::cpu::UsablePrimitives(); });
}
