// Who a program is, and what the host told it: block indices, task type, tiling data, workspace.
#pragma once

#include <cstring>

#include "chip/core_api.h"
#include "chip/launch.h"
#include "macros.h"

enum KernelMetaType : int {
  KERNEL_TYPE_AIV_ONLY,
  KERNEL_TYPE_AIC_ONLY,
  KERNEL_TYPE_MIX_AIV_1_0,
  KERNEL_TYPE_MIX_AIC_1_0,
  KERNEL_TYPE_MIX_AIC_1_1,
  KERNEL_TYPE_MIX_AIC_1_2,
};

namespace npufa_sim {

constexpr TaskType TaskTypeOf(KernelMetaType type) {
  switch (type) {
    case KERNEL_TYPE_AIC_ONLY:
    case KERNEL_TYPE_MIX_AIC_1_0: return TaskType::kAicOnly;
    case KERNEL_TYPE_MIX_AIC_1_1: return TaskType::kMix1To1;
    case KERNEL_TYPE_MIX_AIC_1_2: return TaskType::kMix1To2;
    default: return TaskType::kAivOnly;
  }
}

// Kernels of these types run without the scheduler that carries flags between cores.
constexpr bool HasScheduler(KernelMetaType type) {
  return type != KERNEL_TYPE_AIV_ONLY && type != KERNEL_TYPE_AIC_ONLY;
}

template <class Tiling>
Tiling LoadTiling(const uint8_t* address) {
  Tiling tiling;
  std::memcpy(&tiling, address, sizeof tiling);
  return tiling;
}

// What __vector__, __cube__ and __mix__(m, n) say.
inline void DeclareDefaultTaskType(KernelMetaType type) {
  DeclareTaskType(0, true, static_cast<int>(TaskTypeOf(type)), HasScheduler(type));
}

}  // namespace npufa_sim

#define TILING_KEY_IS(k) (npufa_sim::TilingKey() == static_cast<std::uint64_t>(k))
#define KERNEL_TASK_TYPE(key, type) \
  npufa_sim::DeclareTaskType(key, false, static_cast<int>(npufa_sim::TaskTypeOf(type)), npufa_sim::HasScheduler(type))
#define KERNEL_TASK_TYPE_DEFAULT(type) npufa_sim::DeclareDefaultTaskType(type)
#define REGISTER_TILING_DEFAULT(tiling_struct) using RegisteredTilingData [[maybe_unused]] = tiling_struct
#define GET_TILING_DATA(tiling_data, tiling_arg) \
  RegisteredTilingData tiling_data = npufa_sim::LoadTiling<RegisteredTilingData>(tiling_arg)
#define GET_TILING_DATA_WITH_STRUCT(tiling_struct, tiling_data, tiling_arg) \
  tiling_struct tiling_data = npufa_sim::LoadTiling<tiling_struct>(tiling_arg)
#define GET_TILING_DATA_MEMBER(tiling_struct, member, var, tiling_arg) \
  const auto var = npufa_sim::LoadTiling<tiling_struct>(tiling_arg).member

namespace AscendC {

inline int64_t GetBlockIdx() { return npufa_sim::BlockIndex(); }
inline int64_t GetBlockNum() { return npufa_sim::BlockCount(); }
inline int64_t GetSubBlockIdx() { return npufa_sim::SubBlockIndex(); }
inline int64_t GetSubBlockNum() { return npufa_sim::SubBlockCount(); }
inline int64_t GetTaskRation() { return npufa_sim::SubBlockCount(); }

// The first bytes of a workspace belong to the toolkit; tiling asks for them through GetLibApiWorkSpaceSize.
constexpr uint64_t RESERVED_WORKSPACE = 16 * 1024 * 1024;
inline GM_ADDR GetUserWorkspace(GM_ADDR workspace) { return workspace + RESERVED_WORKSPACE; }
inline void SetSysWorkspace(GM_ADDR) {}
inline void SetSysWorkspaceForce(GM_ADDR) {}
inline GM_ADDR GetSysWorkSpacePtr() { return nullptr; }

}  // namespace AscendC
