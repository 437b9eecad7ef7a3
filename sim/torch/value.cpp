// Values in device memory that streams write and wait for; torch_npu makes its external events of them.
#include <cstring>
#include <optional>
#include <string>

#include "acl/acl.h"
#include "errors.h"
#include "runtime.h"
#include "stream.h"

namespace npufa_sim {

namespace {

bool Holds(std::uint64_t memory, std::uint64_t value, std::uint32_t mode) {
  switch (mode) {
    case ACL_STREAM_WAIT_VALUE_GEQ: return memory >= value;
    case ACL_STREAM_WAIT_VALUE_EQ: return memory == value;
    case ACL_STREAM_WAIT_VALUE_AND: return (memory & value) != 0;
    default:  // ACL_STREAM_WAIT_VALUE_NOR
      return ~(memory | value) != 0;
  }
}

aclError CheckAddress(const char* function, const void* address) {
  if (IsDeviceMemory(address, sizeof(std::uint64_t))) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID, function, "devAddr is not 8 bytes of device memory");
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtValueWrite(void* devAddr, std::uint64_t value, std::uint32_t flag, aclrtStream stream) {
  if (flag != 0) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, "flag is " + std::to_string(flag) + ", expected 0");
  }
  if (const aclError status = CheckAddress(__func__, devAddr); status != ACL_SUCCESS) return status;
  return AppendStep(__func__, stream, [=] {
    std::memcpy(devAddr, &value, sizeof value);
    return std::optional<int>(ACL_SUCCESS);
  });
}

aclError aclrtValueWait(void* devAddr, std::uint64_t value, std::uint32_t flag, aclrtStream stream) {
  if (flag > ACL_STREAM_WAIT_VALUE_NOR) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, "flag is " + std::to_string(flag) + ", expected 0..3");
  }
  if (const aclError status = CheckAddress(__func__, devAddr); status != ACL_SUCCESS) return status;
  return AppendStep(__func__, stream, [=]() -> std::optional<int> {
    std::uint64_t memory = 0;
    std::memcpy(&memory, devAddr, sizeof memory);
    return Holds(memory, value, flag) ? std::optional<int>(ACL_SUCCESS) : std::nullopt;
  });
}
