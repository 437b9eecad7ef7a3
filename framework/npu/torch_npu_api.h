// The parts of torch_npu that an operator library needs, found at run time: npufa is built without torch_npu and loads
// without it, and the same binary serves real and simulated chips.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <functional>
#include <string>

struct aclTensor;

namespace npufa::npu {

// A position in the random sequence of a generator, in words. While a graph is captured it is the sum of a tensor,
// which torch_npu fills before every replay, and of the words that the graph has drawn so far. The layout is torch_npu's.
struct PhiloxState {
  union {
    std::uint64_t seed;
    const at::Tensor* seed_tensor;
  };
  union {
    std::uint64_t offset;
    const at::Tensor* offset_tensor;
  };
  std::uint64_t offset_in_graph;
  bool captured;
  bool secondary_stream;
};

class TorchNpu {
 public:
  // Raises when torch_npu is not loaded, or has other interfaces than the version npufa is made for.
  static const TorchNpu& Get();

  // Address of a function of aclnn: in custom operator packages (ASCEND_CUSTOM_OPP_PATH, ASCEND_OPP_PATH/vendors), then
  // in CANN's own libraries, then in what the process has loaded. nullptr when there is none.
  void* AclnnFunction(const char* name) const;
  // The caller destroys it with aclDestroyTensor.
  aclTensor* ToAcl(const at::Tensor& tensor) const { return to_acl_(tensor); }
  // The aclrtStream of the device's current stream, without waiting for torch_npu's task queue.
  void* CurrentStream(c10::Device device) const;
  // Executes launch() in its order among torch_npu's own tasks: at once, or on the thread of the task queue.
  void Submit(const std::string& name, const std::function<int()>& launch) const { run_op_api_(name, launch, false); }
  // The state before the draw. The caller holds the generator's lock.
  PhiloxState DrawPhilox(const at::Generator& generator, std::uint64_t words) const {
    return philox_(generator.unsafeGetGeneratorImpl(), words);
  }
  // Text of this thread's last ACL error.
  std::string RecentError() const;

 private:
  TorchNpu();

  void* (*find_aclnn_)(const char*);
  aclTensor* (*to_acl_)(const at::Tensor&);
  // Members of NPUStream, whose only content is a c10::Stream.
  void* (*stream_handle_)(const c10::Stream*, bool need_empty_queue);
  void (*run_op_api_)(const std::string&, const std::function<int()>&, bool sync);
  PhiloxState (*philox_)(c10::GeneratorImpl*, std::uint64_t words);  // a member of NPUGeneratorImpl
  const char* (*recent_error_)();
};

}  // namespace npufa::npu
