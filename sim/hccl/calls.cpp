#include "calls.h"

#include <cstdio>

#include "torch/errors.h"
#include "torch/runtime.h"

namespace npufa_sim::hccl {

namespace {

HcclResult Report(const char* function, HcclResult code, const std::string& text) {
  std::fprintf(stderr, "npufa.sim: %s: %s\n", function, text.c_str());
  Fail(code, function, text);
  return code;
}

bool IsHcclResult(int status) { return status >= HCCL_SUCCESS && status <= HCCL_E_REMOTE; }

}  // namespace

HcclResult Checked(const char* function, const std::function<void()>& body) {
  try {
    body();
    return HCCL_SUCCESS;
  } catch (const Error& error) {
    return Report(function, error.code(), error.what());
  } catch (const std::exception& error) {
    return Report(function, HCCL_E_SYSCALL, error.what());
  }
}

HcclResult OnStream(const char* function, HcclComm comm, aclrtStream stream, std::function<void(Communicator&)> work) {
  std::shared_ptr<Communicator> communicator;
  const HcclResult found = Checked(function, [&] { communicator = Find(comm); });
  if (found != HCCL_SUCCESS) return found;
  const int status = SubmitToStream(stream, [=] { return int{Checked(function, [&] { work(*communicator); })}; });
  return IsHcclResult(status) ? static_cast<HcclResult>(status) : HCCL_E_RUNTIME;
}

void RequireMemory(const char* argument, const void* data, std::uint64_t bytes) {
  if (bytes == 0 || IsDeviceMemory(data, bytes)) return;
  throw Error(data == nullptr ? HCCL_E_PTR : HCCL_E_PARA,
              std::string(argument) + " has not " + std::to_string(bytes) + " bytes of device memory");
}

}  // namespace npufa_sim::hccl
