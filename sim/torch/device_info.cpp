// What can be asked about the device and its software, and process-wide settings.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "acl/acl.h"
#include "device.h"
#include "errors.h"
#include "runtime.h"

namespace npufa_sim {

namespace {

// The release whose behaviour is imitated.
constexpr const char kCannVersion[] = "8.5.0";
constexpr std::int64_t kNpuArch = 2201;

std::mutex options_mutex;
std::map<aclSysParamOpt, std::int64_t> system_options;

constexpr std::uint32_t kUnlimited = ~0U;
std::atomic<std::uint32_t> core_limits[] = {kUnlimited, kUnlimited};  // by aclrtDevResLimitType

bool IsCoreType(aclrtDevResLimitType type) {
  return type == ACL_RT_DEV_RES_CUBE_CORE || type == ACL_RT_DEV_RES_VECTOR_CORE;
}

std::uint32_t CoresOfChip(aclrtDevResLimitType type) {
  const ChipDescription& chip = CurrentChip();
  return static_cast<std::uint32_t>(type == ACL_RT_DEV_RES_CUBE_CORE ? chip.aic_count : chip.aiv_count);
}

std::uint32_t Cores(aclrtDevResLimitType type) { return std::min(CoresOfChip(type), core_limits[type].load()); }

aclError UnknownResource(const char* function, aclrtDevResLimitType type) {
  return Fail(ACL_ERROR_INVALID_PARAM, function, "unknown resource " + std::to_string(type));
}

aclError CoreLimitOf(const char* function, aclrtDevResLimitType type, std::uint32_t* value) {
  if (value == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "value is null");
  if (!IsCoreType(type)) return UnknownResource(function, type);
  *value = Cores(type);
  return ACL_SUCCESS;
}

aclError SetSystemOption(aclSysParamOpt option, std::int64_t value) {
  const std::lock_guard<std::mutex> lock(options_mutex);
  system_options[option] = value;
  return ACL_SUCCESS;
}

}  // namespace

CoreCounts AvailableCores() { return {Cores(ACL_RT_DEV_RES_CUBE_CORE), Cores(ACL_RT_DEV_RES_VECTOR_CORE)}; }

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclGetDeviceCapability(std::uint32_t, aclDeviceInfo deviceInfo, std::int64_t* value) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  const ChipDescription& chip = CurrentChip();
  switch (deviceInfo) {
    case ACL_DEVICE_INFO_AI_CORE_NUM: *value = chip.aic_count; return ACL_SUCCESS;
    case ACL_DEVICE_INFO_VECTOR_CORE_NUM: *value = chip.aiv_count; return ACL_SUCCESS;
    case ACL_DEVICE_INFO_L2_SIZE: *value = static_cast<std::int64_t>(chip.l2_bytes); return ACL_SUCCESS;
    default: return Fail(ACL_ERROR_INVALID_PARAM, __func__, "unknown property " + std::to_string(deviceInfo));
  }
}

aclError aclrtGetDeviceInfo(std::uint32_t, aclrtDevAttr attr, std::int64_t* value) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  const ChipDescription& chip = CurrentChip();
  const std::map<aclrtDevAttr, std::int64_t> properties = {
      {ACL_DEV_ATTR_AICORE_CORE_NUM, chip.aic_count},
      {ACL_DEV_ATTR_CUBE_CORE_NUM, chip.aic_count},
      {ACL_DEV_ATTR_VECTOR_CORE_NUM, chip.aiv_count},
      {ACL_DEV_ATTR_UBUF_PER_VECTOR_CORE, chip.ForTiling(Space::kUB)},
      {ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE, static_cast<std::int64_t>(chip.hbm_bytes)},
      {ACL_DEV_ATTR_L2_CACHE_SIZE, static_cast<std::int64_t>(chip.l2_bytes)},
      {ACL_DEV_ATTR_IS_VIRTUAL, 0},
      {ACL_DEV_ATTR_NPU_ARCH, kNpuArch},
  };
  const auto found = properties.find(attr);
  if (found == properties.end()) {
    return Fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, __func__, "property " + std::to_string(attr) + " is not modelled");
  }
  *value = found->second;
  return ACL_SUCCESS;
}

aclError aclrtGetDeviceResLimit(std::int32_t, aclrtDevResLimitType type, std::uint32_t* value) {
  return CoreLimitOf(__func__, type, value);
}

aclError aclrtGetStreamResLimit(aclrtStream, aclrtDevResLimitType type, std::uint32_t* value) {
  return CoreLimitOf(__func__, type, value);
}

// Tiling functions of later calls see so many cores.
aclError aclrtSetDeviceResLimit(std::int32_t, aclrtDevResLimitType type, std::uint32_t value) {
  if (!IsCoreType(type)) return UnknownResource(__func__, type);
  const std::uint32_t all = CoresOfChip(type);
  if (value < 1 || value > all) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__,
                "a limit of " + std::to_string(value) + " cores; expected 1 to " + std::to_string(all));
  }
  core_limits[type] = value;
  return ACL_SUCCESS;
}

aclError aclrtResetDeviceResLimit(std::int32_t) {
  for (std::atomic<std::uint32_t>& limit : core_limits) limit = kUnlimited;
  return ACL_SUCCESS;
}

// Kernels on a stream are always given all cores of the device.
aclError aclrtSetStreamResLimit(aclrtStream, aclrtDevResLimitType type, std::uint32_t value) {
  if (!IsCoreType(type)) return UnknownResource(__func__, type);
  const std::uint32_t all = Cores(type);
  if (value == all) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__,
              "a limit of " + std::to_string(value) + " cores is not modelled; expected all " + std::to_string(all));
}

aclError aclrtResetStreamResLimit(aclrtStream) { return ACL_SUCCESS; }
aclError aclrtUseStreamResInCurrentThread(aclrtStream) { return ACL_SUCCESS; }
aclError aclrtUnuseStreamResInCurrentThread(aclrtStream) { return ACL_SUCCESS; }

aclError aclrtGetResInCurrentThread(aclrtDevResLimitType type, std::uint32_t* value) {
  return CoreLimitOf(__func__, type, value);
}

aclError aclrtGetDeviceUtilizationRate(std::int32_t, aclrtUtilizationInfo* info) {
  NPUFA_SIM_REQUIRE_POINTER(info);
  *info = {};  // tasks have ended when the call that submitted them returns
  return ACL_SUCCESS;
}

aclError aclrtDeviceGetUuid(std::int32_t deviceId, aclrtUuid* uuid) {
  NPUFA_SIM_REQUIRE_POINTER(uuid);
  const std::string text = "npufa-sim-" + std::to_string(deviceId);
  std::memset(uuid->bytes, 0, sizeof uuid->bytes);
  std::memcpy(uuid->bytes, text.data(), std::min(text.size(), sizeof uuid->bytes));
  return ACL_SUCCESS;
}

aclError aclGetCannAttributeList(const aclCannAttr** cannAttrList, std::size_t* num) {
  static constexpr aclCannAttr kAttributes[] = {ACL_CANN_ATTR_INF_NAN, ACL_CANN_ATTR_BF16};
  NPUFA_SIM_REQUIRE_POINTER(cannAttrList);
  NPUFA_SIM_REQUIRE_POINTER(num);
  *cannAttrList = kAttributes;
  *num = std::size(kAttributes);
  return ACL_SUCCESS;
}

aclError aclGetCannAttribute(aclCannAttr cannAttr, std::int32_t* value) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  *value = cannAttr == ACL_CANN_ATTR_INF_NAN || cannAttr == ACL_CANN_ATTR_BF16;
  return ACL_SUCCESS;
}

aclError aclsysGetVersionStr(char*, char* versionStr) {
  NPUFA_SIM_REQUIRE_POINTER(versionStr);
  std::memcpy(versionStr, kCannVersion, sizeof kCannVersion);
  return ACL_SUCCESS;
}

aclError aclsysGetCANNVersion(aclCANNPackageName, aclCANNPackageVersion* version) {
  NPUFA_SIM_REQUIRE_POINTER(version);
  *version = {};
  std::memcpy(version->version, kCannVersion, sizeof kCannVersion);
  return ACL_SUCCESS;
}

aclError aclrtCtxSetSysParamOpt(aclSysParamOpt opt, std::int64_t value) { return SetSystemOption(opt, value); }

aclError aclrtSetSysParamOpt(aclSysParamOpt opt, std::int64_t value) { return SetSystemOption(opt, value); }

aclError aclrtGetSysParamOpt(aclSysParamOpt opt, std::int64_t* value) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  const std::lock_guard<std::mutex> lock(options_mutex);
  *value = system_options[opt];
  return ACL_SUCCESS;
}

// Accepted without effect: cores always keep infinities, and a task ends with the call that submits it.
aclError aclrtSetDeviceSatMode(aclrtFloatOverflowMode) { return ACL_SUCCESS; }
aclError aclrtSetOpExecuteTimeOut(std::uint32_t) { return ACL_SUCCESS; }
aclError aclrtSetOpWaitTimeout(std::uint32_t) { return ACL_SUCCESS; }

aclError aclrtSetOpExecuteTimeOutV2(std::uint64_t timeout, std::uint64_t* actualTimeout) {
  NPUFA_SIM_REQUIRE_POINTER(actualTimeout);
  *actualTimeout = timeout;
  return ACL_SUCCESS;
}

aclError aclrtGetHardwareSyncAddr(void** addr) {
  NPUFA_SIM_REQUIRE_POINTER(addr);
  alignas(512) static char flags[1 << 16];
  *addr = flags;
  return ACL_SUCCESS;
}
