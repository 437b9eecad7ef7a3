// Device memory is host memory that is accounted for: capacity, ownership and bounds are those of the chip's HBM.
#include <cstring>

#include "acl/acl.h"
#include "device.h"
#include "errors.h"
#include "heap.h"
#include "runtime.h"
#include "stream.h"

namespace npufa_sim {

namespace {

Heap& HostHeap() {
  static Heap* heap = new Heap;
  return *heap;
}

aclError AllocateDevice(const char* function, void** pointer, std::size_t bytes) {
  if (pointer == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "devPtr is null");
  if (bytes == 0) return Fail(ACL_ERROR_INVALID_PARAM, function, "size is 0; expected at least 1 byte");
  *pointer = DeviceHeap().Allocate(bytes, CurrentChip().hbm_bytes, CurrentDevice());
  return *pointer != nullptr ? ACL_SUCCESS : DeviceIsFull(function, bytes);
}

aclError AllocateHost(const char* function, void** pointer, std::size_t bytes) {
  if (pointer == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "hostPtr is null");
  *pointer = HostHeap().Allocate(bytes, ~std::uint64_t{0});
  if (*pointer != nullptr) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, function, "the host has no " + std::to_string(bytes) + " bytes left");
}

aclError CheckDeviceRange(const char* function, const char* argument, const void* address, std::size_t bytes) {
  const std::uint64_t available = DeviceHeap().BytesFrom(address);
  if (available >= bytes) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID, function,
              std::string(argument) + " = " + Hex(address) +
                  (available == 0 ? " is not device memory"
                                  : " has " + std::to_string(available) + " bytes left in its allocation") +
                  ", expected " + std::to_string(bytes) + " bytes of device memory");
}

aclError CheckCopy(const char* function, void* dst, std::size_t capacity, const void* src, std::size_t bytes,
                   aclrtMemcpyKind kind) {
  if (bytes == 0) return ACL_SUCCESS;
  if (dst == nullptr || src == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "dst or src is null");
  if (bytes > capacity) {
    return Fail(ACL_ERROR_INVALID_PARAM, function,
                "count is " + std::to_string(bytes) + ", expected at most destMax = " + std::to_string(capacity));
  }
  const bool between_devices = kind == ACL_MEMCPY_DEVICE_TO_DEVICE || kind == ACL_MEMCPY_INNER_DEVICE_TO_DEVICE ||
                               kind == ACL_MEMCPY_INTER_DEVICE_TO_DEVICE;
  aclError status = ACL_SUCCESS;
  if (between_devices || kind == ACL_MEMCPY_HOST_TO_DEVICE || kind == ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE) {
    status = CheckDeviceRange(function, "dst", dst, bytes);
  }
  if (status == ACL_SUCCESS && (between_devices || kind == ACL_MEMCPY_DEVICE_TO_HOST)) {
    status = CheckDeviceRange(function, "src", src, bytes);
  }
  return status;
}

void Copy(void* dst, const void* src, std::size_t count) {
  std::memmove(dst, src, count);
  DeviceHeap().MarkWritten(dst);
}

void Set(void* dst, std::int32_t value, std::size_t count) {
  std::memset(dst, value, count);
  DeviceHeap().MarkWritten(dst);
}

aclError CheckFill(const char* function, void* address, std::size_t capacity, std::size_t bytes) {
  if (bytes > capacity) {
    return Fail(ACL_ERROR_INVALID_PARAM, function,
                "count is " + std::to_string(bytes) + ", expected at most maxCount = " + std::to_string(capacity));
  }
  return bytes == 0 ? ACL_SUCCESS : CheckDeviceRange(function, "devPtr", address, bytes);
}

}  // namespace

// Never destroyed: torch frees its last blocks while the process ends.
Heap& DeviceHeap() {
  static Heap* heap = new Heap;
  return *heap;
}

aclError DeviceIsFull(const char* function, std::size_t bytes) {
  return Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, function,
              std::to_string(bytes) + " bytes do not fit: " + std::to_string(DeviceHeap().Used(CurrentDevice())) +
                  " of the " + std::to_string(CurrentChip().hbm_bytes) + " bytes of " + CurrentChip().name +
                  " are in use");
}

bool IsDeviceMemory(const void* address, std::uint64_t bytes) { return DeviceHeap().BytesFrom(address) >= bytes; }

std::vector<GmRegion> DeviceRegions() { return DeviceHeap().Regions(); }

void MarkWritten(const std::vector<void*>& allocations) {
  for (const void* allocation : allocations) DeviceHeap().MarkWritten(allocation);
}

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtGetMemInfo(aclrtMemAttr, std::size_t* free, std::size_t* total) {
  NPUFA_SIM_REQUIRE_POINTER(free);
  NPUFA_SIM_REQUIRE_POINTER(total);
  *total = CurrentChip().hbm_bytes;
  *free = *total - DeviceHeap().Used(CurrentDevice());
  return ACL_SUCCESS;
}

aclError aclrtMalloc(void** devPtr, std::size_t size, aclrtMemMallocPolicy) {
  return AllocateDevice(__func__, devPtr, size);
}

aclError aclrtMallocAlign32(void** devPtr, std::size_t size, aclrtMemMallocPolicy) {
  return AllocateDevice(__func__, devPtr, size);
}

aclError aclrtFree(void* devPtr) {
  if (DeviceHeap().Free(devPtr)) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, Hex(devPtr) + " is not the start of an allocation, or freed twice");
}

aclError aclrtMallocHost(void** hostPtr, std::size_t size) { return AllocateHost(__func__, hostPtr, size); }

aclError aclrtMallocHostWithCfg(void** ptr, std::uint64_t size, aclrtMallocConfig*) {
  return AllocateHost(__func__, ptr, size);
}

aclError aclrtFreeHost(void* hostPtr) {
  if (HostHeap().Free(hostPtr)) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, Hex(hostPtr) + " is not from aclrtMallocHost, or freed twice");
}

aclError aclrtMemcpy(void* dst, std::size_t destMax, const void* src, std::size_t count, aclrtMemcpyKind kind) {
  aclError status = RequireNoCapture(__func__);
  if (status == ACL_SUCCESS) status = CheckCopy(__func__, dst, destMax, src, count, kind);
  if (status == ACL_SUCCESS && count != 0) Copy(dst, src, count);
  return status;
}

aclError aclrtMemcpyAsync(void* dst, std::size_t destMax, const void* src, std::size_t count, aclrtMemcpyKind kind,
                          aclrtStream stream) {
  const aclError status = CheckCopy(__func__, dst, destMax, src, count, kind);
  if (status != ACL_SUCCESS || count == 0) return status;
  return SubmitToStream(stream, [=] {
    Copy(dst, src, count);
    return ACL_SUCCESS;
  });
}

aclError aclrtMemcpyAsyncWithCondition(void* dst, std::size_t destMax, const void* src, std::size_t count,
                                       aclrtMemcpyKind kind, aclrtStream stream) {
  return aclrtMemcpyAsync(dst, destMax, src, count, kind, stream);
}

aclError aclrtMemset(void* devPtr, std::size_t maxCount, std::int32_t value, std::size_t count) {
  const aclError status = CheckFill(__func__, devPtr, maxCount, count);
  if (status == ACL_SUCCESS && count != 0) Set(devPtr, value, count);
  return status;
}

aclError aclrtMemsetAsync(void* devPtr, std::size_t maxCount, std::int32_t value, std::size_t count,
                          aclrtStream stream) {
  const aclError status = CheckFill(__func__, devPtr, maxCount, count);
  if (status != ACL_SUCCESS || count == 0) return status;
  return SubmitToStream(stream, [=] {
    Set(devPtr, value, count);
    return ACL_SUCCESS;
  });
}

aclError aclrtPointerGetAttributes(const void* ptr, aclrtPtrAttributes* attributes) {
  NPUFA_SIM_REQUIRE_POINTER(attributes);
  *attributes = {};
  attributes->location.type = IsDeviceMemory(ptr, 1)           ? ACL_MEM_LOCATION_TYPE_DEVICE
                              : HostHeap().BytesFrom(ptr) != 0 ? ACL_MEM_LOCATION_TYPE_HOST
                                                               : ACL_MEM_LOCATION_TYPE_UNREGISTERED;
  return ACL_SUCCESS;
}
