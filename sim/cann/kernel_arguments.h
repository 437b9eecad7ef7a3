// The arguments a kernel is launched with, and the memory it may touch through them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chip/launch.h"
#include "op_call.h"

namespace npufa_sim {

// Throws AclnnError unless all bytes of the tensor are in one allocation.
void RequireDeviceMemory(const CallParam& param, const TensorView& tensor);

// Adds arguments in the order of the kernel's parameters: inputs, outputs, workspace, tiling data.
class KernelArguments {
 public:
  explicit KernelArguments(Launch* launch) : launch_(launch) {}

  void AddInput(const CallParam& param);
  void AddOutput(const CallParam& param);
  void AddWorkspace(void* address, std::uint64_t bytes);
  void AddTiling(const std::vector<unsigned char>& data);

  // Copies that the launch reads; keep them until it has run.
  const std::vector<std::shared_ptr<std::vector<unsigned char>>>& Copies() const { return copies_; }

 private:
  void* InputAddress(const CallParam& param, const TensorView& tensor);
  void* OutputAddress(const CallParam& param, const TensorView& tensor);
  void Region(const std::string& name, void* data, std::uint64_t bytes, bool writable, bool written);
  void AddList(const CallParam& param, const std::vector<void*>& addresses);

  Launch* launch_;
  std::vector<std::shared_ptr<std::vector<unsigned char>>> copies_;
};

}  // namespace npufa_sim
