// Process and device: initialisation, the current device and context.
#include "device.h"

#include <atomic>
#include <string>

#include "acl/acl.h"
#include "errors.h"

namespace npufa_sim {

namespace {

constexpr std::int32_t kNone = -1;
thread_local std::int32_t current_device = kNone;
std::atomic<bool> initialised{false};
std::atomic<bool> opened[kDeviceCount];

// A context stands for its device; only its address matters.
char contexts[kDeviceCount];

bool IsDevice(std::int32_t device) { return device >= 0 && device < kDeviceCount; }

aclError NoSuchDevice(const char* function, std::int32_t device) {
  return Fail(ACL_ERROR_RT_INVALID_DEVICEID, function,
              "device " + std::to_string(device) + " does not exist; expected 0.." + std::to_string(kDeviceCount - 1));
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclInit(const char*) {
  if (initialised.exchange(true)) return Fail(ACL_ERROR_REPEAT_INITIALIZE, __func__, "called twice");
  return ACL_SUCCESS;
}

aclError aclFinalize() {
  if (!initialised.exchange(false)) return Fail(ACL_ERROR_REPEAT_FINALIZE, __func__, "aclInit has not been called");
  return ACL_SUCCESS;
}

aclError aclrtGetDeviceCount(std::uint32_t* count) {
  NPUFA_SIM_REQUIRE_POINTER(count);
  *count = kDeviceCount;
  return ACL_SUCCESS;
}

aclError aclrtSetDevice(std::int32_t deviceId) {
  if (!IsDevice(deviceId)) return NoSuchDevice(__func__, deviceId);
  opened[deviceId] = true;
  current_device = deviceId;
  return ACL_SUCCESS;
}

aclError aclrtGetDevice(std::int32_t* deviceId) {
  NPUFA_SIM_REQUIRE_POINTER(deviceId);
  if (current_device == kNone) return ACL_ERROR_RT_CONTEXT_NULL;  // asked, not demanded: no error to remember
  *deviceId = current_device;
  return ACL_SUCCESS;
}

aclError aclrtResetDevice(std::int32_t deviceId) {
  if (!IsDevice(deviceId)) return NoSuchDevice(__func__, deviceId);
  opened[deviceId] = false;
  if (current_device == deviceId) current_device = kNone;
  return ACL_SUCCESS;
}

aclError aclrtGetPrimaryCtxState(std::int32_t deviceId, std::uint32_t* flags, std::int32_t* active) {
  if (!IsDevice(deviceId)) return NoSuchDevice(__func__, deviceId);
  if (flags != nullptr) *flags = 0;
  if (active != nullptr) *active = opened[deviceId];
  return ACL_SUCCESS;
}

aclError aclrtGetCurrentContext(aclrtContext* context) {
  NPUFA_SIM_REQUIRE_POINTER(context);
  if (current_device == kNone) return ACL_ERROR_RT_CONTEXT_NULL;  // asked, not demanded: no error to remember
  *context = &contexts[current_device];
  return ACL_SUCCESS;
}

aclError aclrtSetCurrentContext(aclrtContext context) {
  for (std::int32_t device = 0; device < kDeviceCount; ++device) {
    if (context == &contexts[device]) return aclrtSetDevice(device);
  }
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, __func__, "the context is not one of this process");
}

aclError aclrtGetLogicDevIdByUserDevId(std::int32_t userDevid, std::int32_t* logicDevId) {
  NPUFA_SIM_REQUIRE_POINTER(logicDevId);
  if (!IsDevice(userDevid)) return NoSuchDevice(__func__, userDevid);
  *logicDevId = userDevid;
  return ACL_SUCCESS;
}

aclError aclrtDeviceCanAccessPeer(std::int32_t* canAccessPeer, std::int32_t deviceId, std::int32_t peerDeviceId) {
  NPUFA_SIM_REQUIRE_POINTER(canAccessPeer);
  if (!IsDevice(deviceId)) return NoSuchDevice(__func__, deviceId);
  if (!IsDevice(peerDeviceId)) return NoSuchDevice(__func__, peerDeviceId);
  *canAccessPeer = deviceId != peerDeviceId;
  return ACL_SUCCESS;
}

// A device has one context.
aclError aclrtCreateContext(aclrtContext* context, std::int32_t deviceId) {
  const aclError status = aclrtSetDevice(deviceId);
  return status == ACL_SUCCESS ? aclrtGetCurrentContext(context) : status;
}

aclError aclrtDestroyContext(aclrtContext) { return ACL_SUCCESS; }
