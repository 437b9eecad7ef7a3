#include "op_executor.h"

#include <exception>
#include <memory>
#include <utility>

#include "aclnn_error.h"
#include "chip/time_api.h"
#include "contiguous_copies.h"
#include "kernel_arguments.h"
#include "torch/runtime.h"

namespace npufa_sim {

std::uint64_t OpExecutor::AllWorkspaceBytes() const {
  return empty ? workspace_bytes : BytesWithCopies(workspace_bytes, inputs);
}

int OpExecutor::LaunchKernel(const std::string& api, void* workspace, std::uint64_t workspace_size) const {
  if (empty) return ACL_SUCCESS;
  try {
    Launch launch;
    launch.kernel = kernel;
    launch.cube_entry = programs.cube;
    launch.vector_entry = programs.vector;
    launch.block_dim = block_dim;
    launch.tiling_key = tiling_key;
    auto* const end = static_cast<unsigned char*>(workspace) + workspace_size;
    const ContiguousCopies params(inputs, outputs, end - BytesOfCopies(inputs));
    launch.starts_together = schedule_mode == 1;
    KernelArguments arguments(&launch);
    for (const CallParam& input : params.Inputs()) arguments.AddInput(input);
    for (const CallParam& output : params.Outputs()) arguments.AddOutput(output);
    arguments.AddWorkspace(workspace, workspace_bytes);
    arguments.AddTiling(tiling_data);

    LaunchOptions options = CurrentOptions();
    options.trace = options.trace || Profiling();
    LaunchResult result = Run(CurrentChip(), launch, options);
    if (!result.Ok()) {
      ForgetReports();
      ReportApiError(ACL_ERROR_RT_AICORE_EXCEPTION, api.c_str(), FormatFindings(kernel, result.findings));
      return ACL_ERROR_RT_AICORE_EXCEPTION;
    }
    params.WriteBack();
    KeepLaunch(CurrentChip(), kernel, std::move(result));
    return ACL_SUCCESS;
  } catch (const AclnnError& error) {
    return ReportApiError(error.Code(), api.c_str(), error.what());
  } catch (const std::exception& error) {
    return ReportApiError(kRuntimeError, api.c_str(), error.what());
  }
}

aclnnStatus RunExecutor(const char* api, void* workspace, std::uint64_t workspace_size, aclOpExecutor* executor,
                        aclrtStream stream) {
  ForgetReports();
  if (executor == nullptr) return ReportApiError(kParamNullptr, api, "executor is null");
  auto* op = dynamic_cast<OpExecutor*>(executor);
  if (op == nullptr) return ReportApiError(kParamInvalid, api, "executor belongs to another operator");
  // Tasks outlive this call while a stream is captured.
  const std::shared_ptr<const OpExecutor> kept(op, [](const OpExecutor* e) {
    if (!e->repeatable) delete e;
  });
  const std::uint64_t needed = kept->AllWorkspaceBytes();
  if (workspace == nullptr && needed > 0) return ReportApiError(kParamNullptr, api, "workspace is null");
  if (workspace_size < needed) {
    return ReportApiError(
        kParamInvalid, api,
        "workspaceSize is " + std::to_string(workspace_size) + "; expected at least " + std::to_string(needed));
  }
  return SubmitToStream(stream, [kept, name = std::string(api), workspace, workspace_size] {
    return kept->LaunchKernel(name, workspace, workspace_size);
  });
}

}  // namespace npufa_sim
