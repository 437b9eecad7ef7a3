// Virtual memory of the device: ranges of addresses, and physical memory that is mapped into them. torch_npu's
// expandable segments are made of it.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>

#include "acl/acl.h"
#include "device.h"
#include "errors.h"
#include "heap.h"
#include "runtime.h"

namespace npufa_sim {

namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;

std::size_t WholePages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// A file in memory, so that one piece can be mapped and unmapped while its bytes stay.
struct Physical {
  int file;
  std::size_t bytes;
  std::int32_t device;
  int mappings = 0;
  bool freed = false;
};

struct Range {
  std::size_t bytes;
  void* mapped;  // what mmap returned
  std::size_t mapped_bytes;
};

struct Mapping {
  std::size_t bytes;
  Physical* physical;
};

class VirtualMemory {
 public:
  aclError Reserve(const char* function, void** pointer, std::size_t bytes, void* expected) {
    if (bytes == 0) return Fail(ACL_ERROR_INVALID_PARAM, function, "size is 0; expected at least 1 byte");
    // A page before and after each range: neighbours stay apart, and the range begins with a page.
    const std::size_t whole = WholePages(bytes) + 2 * kPage;
    void* mapped = mmap(expected, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
      return Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, function,
                  "the host has no " + std::to_string(bytes) + " bytes of addresses left");
    }
    const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(mapped) / kPage + 1) * kPage;
    const std::lock_guard<std::mutex> lock(mutex_);
    *pointer = reinterpret_cast<void*>(begin);
    ranges_[reinterpret_cast<char*>(begin)] = {bytes, mapped, whole};
    return ACL_SUCCESS;
  }

  aclError Release(const char* function, void* pointer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    char* begin = static_cast<char*>(pointer);
    const auto range = ranges_.find(begin);
    if (range == ranges_.end()) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, function, Hex(pointer) + " is not from aclrtReserveMemAddress");
    }
    const auto mapping = mappings_.lower_bound(begin);
    if (mapping != mappings_.end() && mapping->first < begin + range->second.bytes) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, function, Hex(mapping->first) + " in the range is still mapped");
    }
    munmap(range->second.mapped, range->second.mapped_bytes);
    ranges_.erase(range);
    return ACL_SUCCESS;
  }

  aclError Create(const char* function, aclrtDrvMemHandle* handle, std::size_t bytes) {
    if (bytes == 0) return Fail(ACL_ERROR_INVALID_PARAM, function, "size is 0; expected at least 1 byte");
    if (!DeviceHeap().Take(bytes, CurrentChip().hbm_bytes, CurrentDevice())) return DeviceIsFull(function, bytes);
    const int file = memfd_create("npufa_sim", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) {
      if (file >= 0) close(file);
      DeviceHeap().GiveBack(bytes, CurrentDevice());
      return Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, function, "the host has no " + std::to_string(bytes) + " bytes left");
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    auto* physical = new Physical{file, bytes, CurrentDevice()};
    physicals_[physical] = physical;
    *handle = physical;
    return ACL_SUCCESS;
  }

  // Memory that is still mapped stays until it is unmapped.
  aclError Free(const char* function, aclrtDrvMemHandle handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Physical* physical = Find(handle);
    if (physical == nullptr) return UnknownHandle(function, handle);
    physical->freed = true;
    DropUnused(physical);
    return ACL_SUCCESS;
  }

  aclError Map(const char* function, void* pointer, std::size_t bytes, std::size_t offset, aclrtDrvMemHandle handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Physical* physical = Find(handle);
    if (physical == nullptr) return UnknownHandle(function, handle);
    if (offset != 0 || bytes == 0 || bytes > physical->bytes) {
      return Fail(ACL_ERROR_INVALID_PARAM, function,
                  "size is " + std::to_string(bytes) + " and offset " + std::to_string(offset) + "; expected 1 to " +
                      std::to_string(physical->bytes) + " bytes of the handle, from offset 0");
    }
    char* begin = static_cast<char*>(pointer);
    auto range = ranges_.upper_bound(begin);
    if (range == ranges_.begin() || begin + bytes > (--range)->first + range->second.bytes) {
      return Fail(
          ACL_ERROR_RT_PARAM_INVALID, function,
          std::to_string(bytes) + " bytes at " + Hex(pointer) + " are not in a range of aclrtReserveMemAddress");
    }
    if (DeviceHeap().BytesFrom(begin) != 0 || Overlaps(begin, bytes)) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, function, Hex(pointer) + " is mapped already");
    }
    if (mmap(begin, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, physical->file, 0) == MAP_FAILED) {
      return Fail(ACL_ERROR_INVALID_PARAM, function,
                  "virPtr is " + Hex(pointer) + "; expected a multiple of the page of " + std::to_string(kPage));
    }
    ++physical->mappings;
    mappings_[begin] = {bytes, physical};
    DeviceHeap().Map(begin, bytes);
    return ACL_SUCCESS;
  }

  aclError Unmap(const char* function, void* pointer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = mappings_.find(static_cast<char*>(pointer));
    if (found == mappings_.end()) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, function, Hex(pointer) + " is not the start of an aclrtMapMem");
    }
    const auto [begin, mapping] = *found;
    mappings_.erase(found);
    DeviceHeap().Unmap(begin, mapping.bytes);
    mmap(begin, mapping.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    --mapping.physical->mappings;
    DropUnused(mapping.physical);
    return ACL_SUCCESS;
  }

 private:
  Physical* Find(aclrtDrvMemHandle handle) const {
    const auto found = physicals_.find(handle);
    return found == physicals_.end() || found->second->freed ? nullptr : found->second;
  }

  static aclError UnknownHandle(const char* function, aclrtDrvMemHandle handle) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, function,
                "handle " + Hex(handle) + " is not from aclrtMallocPhysical, or freed already");
  }

  bool Overlaps(char* begin, std::size_t bytes) const {
    const auto next = mappings_.lower_bound(begin);
    return next != mappings_.end() && next->first < begin + bytes;
  }

  void DropUnused(Physical* physical) {
    if (!physical->freed || physical->mappings != 0) return;
    close(physical->file);
    DeviceHeap().GiveBack(physical->bytes, physical->device);
    physicals_.erase(physical);
    delete physical;
  }

  std::mutex mutex_;
  std::map<char*, Range> ranges_;
  std::map<char*, Mapping> mappings_;
  std::map<const void*, Physical*> physicals_;
};

// Never destroyed: torch frees its last blocks while the process ends.
VirtualMemory& DeviceAddresses() {
  static auto* memory = new VirtualMemory;
  return *memory;
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtReserveMemAddress(void** virPtr, std::size_t size, std::size_t, void* expectPtr, std::uint64_t) {
  NPUFA_SIM_REQUIRE_POINTER(virPtr);
  return DeviceAddresses().Reserve(__func__, virPtr, size, expectPtr);
}

aclError aclrtReleaseMemAddress(void* virPtr) { return DeviceAddresses().Release(__func__, virPtr); }

aclError aclrtMallocPhysical(aclrtDrvMemHandle* handle, std::size_t size, const aclrtPhysicalMemProp*, std::uint64_t) {
  NPUFA_SIM_REQUIRE_POINTER(handle);
  return DeviceAddresses().Create(__func__, handle, size);
}

aclError aclrtFreePhysical(aclrtDrvMemHandle handle) { return DeviceAddresses().Free(__func__, handle); }

aclError aclrtMapMem(void* virPtr, std::size_t size, std::size_t offset, aclrtDrvMemHandle handle, std::uint64_t) {
  return DeviceAddresses().Map(__func__, virPtr, size, offset, handle);
}

aclError aclrtUnmapMem(void* virPtr) { return DeviceAddresses().Unmap(__func__, virPtr); }
