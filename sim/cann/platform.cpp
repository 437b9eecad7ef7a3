#include "platform.h"

#include "tiling/platform/platform_ascendc.h"
#include "torch/runtime.h"

namespace platform_ascendc {

namespace {

constexpr std::uint32_t kReservedWorkspace = 16 * 1024 * 1024;

std::uint64_t Bytes(const npufa_sim::ChipDescription& chip, npufa_sim::Space space) {
  return chip.space_bytes[static_cast<int>(space)];
}

}  // namespace

std::uint32_t PlatformAscendC::GetCoreNum() const { return GetCoreNumAic(); }
std::uint32_t PlatformAscendC::GetCoreNumAic() const { return platform_->cores.cube; }
std::uint32_t PlatformAscendC::GetCoreNumAiv() const { return platform_->cores.vector; }

std::uint32_t PlatformAscendC::CalcTschBlockDim(std::uint32_t slices, std::uint32_t aic_count,
                                                std::uint32_t aiv_count) const {
  if (aic_count == 0 || aiv_count == 0 || aic_count > aiv_count) return slices;
  const std::uint32_t vectors_per_block = aiv_count / aic_count;
  return (slices + vectors_per_block - 1) / vectors_per_block;
}

std::uint32_t PlatformAscendC::GetLibApiWorkSpaceSize() const { return kReservedWorkspace; }

void PlatformAscendC::GetCoreMemSize(const CoreMemType& memory, std::uint64_t& size) const {
  using npufa_sim::Space;
  const npufa_sim::ChipDescription& chip = platform_->chip;
  switch (memory) {
    case CoreMemType::L0_A: size = Bytes(chip, Space::kL0A); break;
    case CoreMemType::L0_B: size = Bytes(chip, Space::kL0B); break;
    case CoreMemType::L0_C: size = Bytes(chip, Space::kL0C); break;
    case CoreMemType::L1: size = chip.ForTiling(Space::kL1); break;
    case CoreMemType::L2: size = chip.l2_bytes; break;
    case CoreMemType::UB: size = chip.ForTiling(Space::kUB); break;
    case CoreMemType::HBM: size = chip.hbm_bytes; break;
    case CoreMemType::RESERVED: size = 0; break;
  }
}

SocVersion PlatformAscendC::GetSocVersion() const { return SocVersion::ASCEND910B; }

PlatformAscendC* PlatformAscendCManager::GetInstance() {
  static fe::PlatFormInfos infos(npufa_sim::CurrentChip(), npufa_sim::AvailableCores());
  static PlatformAscendC platform(&infos);
  return &platform;
}

}  // namespace platform_ascendc
