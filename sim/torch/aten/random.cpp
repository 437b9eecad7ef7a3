#include "random.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "device_values.h"
#include "torch_npu_compat.h"

namespace npufa_sim {

namespace {

constexpr std::uint64_t kCallStep = 4;  // offsets of device generators are multiples of 4

at::Generator GeneratorAt(std::uint64_t seed, std::uint64_t offset) {
  return at::detail::createCPUGenerator(seed + offset * 0x9E3779B97F4A7C15ULL);
}

std::uint64_t FirstValue(const std::int64_t* address) { return static_cast<std::uint64_t>(*address); }

}  // namespace

at::Generator CpuGenerator(at::Generator generator) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const std::uint64_t offset = generator.get_offset();
  generator.set_offset(offset + kCallStep);
  return GeneratorAt(generator.current_seed(), offset);
}

std::function<at::Generator()> CapturedGenerator(at::Generator generator) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const npufa::torch_npu::PhiloxState state = npufa::torch_npu::DrawPhilox(generator, kCallStep);
  TORCH_CHECK(state.captured, "this generator takes no part in the capture; register it with the graph");
  return [seed = static_cast<const std::int64_t*>(state.seed_tensor->const_data_ptr()),
          offset = static_cast<const std::int64_t*>(state.offset_tensor->const_data_ptr()),
          distance = state.offset_in_graph] { return GeneratorAt(FirstValue(seed), FirstValue(offset) + distance); };
}

DefaultGenerator::DefaultGenerator(const at::Generator& generator)
    : default_(at::globalContext().defaultGenerator(at::kCPU)), saved_(default_.clone()) {
  const std::lock_guard<std::mutex> lock(default_.mutex());
  default_.set_state(generator.get_state());
}

DefaultGenerator::~DefaultGenerator() {
  const std::lock_guard<std::mutex> lock(default_.mutex());
  default_.set_state(saved_.get_state());
}

bool DrawsFromDefault(const c10::OperatorHandle& op) {
  const auto& arguments = op.schema().arguments();
  return op.hasTag(at::Tag::nondeterministic_seeded) && std::none_of(arguments.begin(), arguments.end(), IsGenerator);
}

}  // namespace npufa_sim
