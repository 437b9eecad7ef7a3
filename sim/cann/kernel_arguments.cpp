#include "kernel_arguments.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "aclnn_error.h"
#include "op_check.h"
#include "torch/runtime.h"

namespace npufa_sim {

namespace {

// Bytes from the first element of a view to its last one.
std::uint64_t Span(const TensorView& tensor) {
  if (tensor.IsContiguous()) return tensor.Bytes();
  std::int64_t last = 0;
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) last += (tensor.sizes[i] - 1) * tensor.strides[i];
  return static_cast<std::uint64_t>(ge::GetSizeInBytes(last + 1, tensor.data_type));
}

}  // namespace

void RequireDeviceMemory(const CallParam& param, const TensorView& tensor) {
  if (tensor.host_data || tensor.Count() == 0 || IsDeviceMemory(tensor.data, Span(tensor))) return;
  std::ostringstream text;
  text << CamelCase(param.def->name) << ", " << Span(tensor) << " bytes from " << tensor.data
       << ", is not within one allocation of device memory";
  throw AclnnError(kParamInvalid, text.str());
}

void KernelArguments::Region(const std::string& name, void* data, std::uint64_t bytes, bool writable, bool written) {
  if (data != nullptr && bytes > 0) launch_->regions.push_back({name, data, bytes, writable, written});
}

void* KernelArguments::InputAddress(const CallParam& param, const TensorView& tensor) {
  RequireDeviceMemory(param, tensor);
  Region(param.def->name, tensor.data, Span(tensor), false, true);
  if (tensor.host_data) copies_.push_back(tensor.host_data);
  return tensor.data;
}

// An output in the place of an input is one region, with the input's contents.
void* KernelArguments::OutputAddress(const CallParam& param, const TensorView& tensor) {
  RequireDeviceMemory(param, tensor);
  const auto shared = std::find_if(launch_->regions.begin(), launch_->regions.end(), [&](const GmRegion& region) {
    return region.data == tensor.data && region.bytes == tensor.Bytes();
  });
  if (shared != launch_->regions.end()) {
    shared->writable = true;
  } else {
    Region(param.def->name, tensor.data, tensor.Bytes(), true, false);
  }
  return tensor.data;
}

// A tensor list is one argument: bytes up to the addresses, then rank and index (high half) and sizes of each tensor,
// then the addresses.
void KernelArguments::AddList(const CallParam& param, const std::vector<void*>& addresses) {
  std::vector<std::uint64_t> words(1);
  for (std::size_t i = 0; i < param.tensors.size(); ++i) {
    const std::vector<std::int64_t>& sizes = param.tensors[i].sizes;
    words.push_back(sizes.size() | static_cast<std::uint64_t>(i) << 32);
    words.insert(words.end(), sizes.begin(), sizes.end());
  }
  words[0] = words.size() * sizeof(std::uint64_t);
  for (void* address : addresses) words.push_back(reinterpret_cast<std::uint64_t>(address));
  auto bytes = std::make_shared<std::vector<unsigned char>>(words.size() * sizeof(std::uint64_t));
  std::memcpy(bytes->data(), words.data(), bytes->size());
  copies_.push_back(bytes);
  Region(param.def->name + " (list)", bytes->data(), bytes->size(), false, true);
  launch_->arguments.push_back(bytes->data());
}

void KernelArguments::AddInput(const CallParam& param) {
  std::vector<void*> addresses;
  for (const TensorView& tensor : param.tensors) addresses.push_back(InputAddress(param, tensor));
  if (param.def->type == ops::DYNAMIC) return AddList(param, addresses);
  launch_->arguments.push_back(addresses.empty() ? nullptr : addresses[0]);
}

void KernelArguments::AddOutput(const CallParam& param) {
  std::vector<void*> addresses;
  for (const TensorView& tensor : param.tensors) addresses.push_back(OutputAddress(param, tensor));
  if (param.def->type == ops::DYNAMIC) return AddList(param, addresses);
  launch_->arguments.push_back(addresses.empty() ? nullptr : addresses[0]);
}

void KernelArguments::AddWorkspace(void* address, std::uint64_t bytes) {
  Region("workspace", address, bytes, true, false);
  launch_->arguments.push_back(bytes > 0 ? address : nullptr);
}

void KernelArguments::AddTiling(const std::vector<unsigned char>& data) {
  auto copy = std::make_shared<std::vector<unsigned char>>(data);
  copies_.push_back(copy);
  Region("tiling", copy->data(), copy->size(), false, true);
  launch_->arguments.push_back(copy->empty() ? nullptr : copy->data());
}

}  // namespace npufa_sim
