// What tiling may know of the chip.
#pragma once

#include <cstdint>

namespace fe {
class PlatFormInfos;
}

namespace platform_ascendc {

enum class CoreMemType { L0_A = 0, L0_B = 1, L0_C = 2, L1 = 3, L2 = 4, UB = 5, HBM = 6, RESERVED };

// Ascend910_93 chips report ASCEND910B: they share its cores.
enum class SocVersion { ASCEND910 = 0, ASCEND910B, ASCEND310P, ASCEND310B, RESERVED_VERSION = 99999 };

class PlatformAscendC {
 public:
  PlatformAscendC() = delete;
  explicit PlatformAscendC(fe::PlatFormInfos* platform) : platform_(platform) {}

  std::uint32_t GetCoreNum() const;  // cube cores
  std::uint32_t GetCoreNumAic() const;
  std::uint32_t GetCoreNumAiv() const;
  // Blocks to launch so that `slices` pieces of work find a core each, given how many cores of each kind a kernel uses.
  std::uint32_t CalcTschBlockDim(std::uint32_t slices, std::uint32_t aic_count, std::uint32_t aiv_count) const;
  // Bytes at the start of a kernel's workspace that belong to the toolkit.
  std::uint32_t GetLibApiWorkSpaceSize() const;
  void GetCoreMemSize(const CoreMemType& memory, std::uint64_t& size) const;
  SocVersion GetSocVersion() const;

 private:
  fe::PlatFormInfos* platform_;
};

// For programs of their own, which have no tiling context.
class PlatformAscendCManager {
 public:
  static PlatformAscendC* GetInstance();
  static PlatformAscendC* GetInstance(const char*) { return GetInstance(); }
};

}  // namespace platform_ascendc
