// Process and device: initialisation, the current device and context.
#include "device.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

#include "acl/acl.h"
#include "errors.h"

namespace npufa_sim {

namespace {

constexpr std::int32_t kNone = -1;
thread_local std::int32_t current_device = kNone;
std::atomic<bool> initialised{false};
std::atomic<bool> opened[kMostDevices];

// A context stands for its device; only its address matters.
char contexts[kMostDevices];

bool IsDevice(std::int32_t device) { return device >= 0 && device < DeviceCount(); }

aclError NoSuchDevice(const char* function, std::int32_t device) {
  return Fail(ACL_ERROR_RT_INVALID_DEVICEID, function,
              "device " + std::to_string(device) + " does not exist; expected 0.." + std::to_string(DeviceCount() - 1) +
                  " (NPUFA_SIM_DEVICES, or ASCEND_RT_VISIBLE_DEVICES, says how many there are)");
}

// Every number of "0,1,2", which are those of the host that the process may see.
std::int32_t Visible(std::int32_t present) {
  const char* list = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
  if (list == nullptr) return present;
  std::int32_t visible = 0;
  for (char* end = nullptr; *list != '\0'; list = *end == ',' ? end + 1 : end) {
    const long number = std::strtol(list, &end, 10);
    if (end == list || number < 0 || number >= present) break;  // CANN, too, stops at what it cannot use
    ++visible;
  }
  return visible;
}

}  // namespace

std::int32_t DeviceCount() {
  static const std::int32_t count = [] {
    const char* text = std::getenv("NPUFA_SIM_DEVICES");
    return Visible(text == nullptr ? 1 : std::clamp(std::atoi(text), 1, kMostDevices));
  }();
  return count;
}

std::int32_t CurrentDevice() { return std::max(current_device, 0); }

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
  *count = static_cast<std::uint32_t>(DeviceCount());
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
  for (std::int32_t device = 0; device < DeviceCount(); ++device) {
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

// Memory of all devices is the process's own.
aclError aclrtDeviceEnablePeerAccess(std::int32_t peerDeviceId, std::uint32_t flags) {
  if (flags != 0) return Fail(ACL_ERROR_INVALID_PARAM, __func__, "flags is " + std::to_string(flags) + ", expected 0");
  return IsDevice(peerDeviceId) ? ACL_SUCCESS : NoSuchDevice(__func__, peerDeviceId);
}

// A device has one context.
aclError aclrtCreateContext(aclrtContext* context, std::int32_t deviceId) {
  const aclError status = aclrtSetDevice(deviceId);
  return status == ACL_SUCCESS ? aclrtGetCurrentContext(context) : status;
}

aclError aclrtDestroyContext(aclrtContext) { return ACL_SUCCESS; }
