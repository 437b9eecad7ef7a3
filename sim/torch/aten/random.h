// Random numbers of the device's generators, drawn on the CPU.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <functional>

namespace npufa_sim {

// A CPU generator for one call, from the seed and the position in its sequence of a device generator, which moves on.
at::Generator CpuGenerator(at::Generator generator);

// The same for a call that is captured: each replay draws at the position at which torch_npu starts it.
std::function<at::Generator()> CapturedGenerator(at::Generator generator);

// While it lives, CPU kernels that take no generator draw from this one. For one thread at a time.
class DefaultGenerator {
 public:
  explicit DefaultGenerator(const at::Generator& generator);
  ~DefaultGenerator();
  DefaultGenerator(const DefaultGenerator&) = delete;
  DefaultGenerator& operator=(const DefaultGenerator&) = delete;

 private:
  at::Generator default_, saved_;
};

// True for random operators whose schema has no generator.
bool DrawsFromDefault(const c10::OperatorHandle& op);

}  // namespace npufa_sim
