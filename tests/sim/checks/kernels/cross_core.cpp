// Order between cores.
#include "checks.h"

namespace {

constexpr uint16_t kSize = 16, kSteps = 2;
constexpr uint32_t kTile = kSize * kSize, kHalfTile = kTile / 2;
constexpr uint16_t kSumReady = 0, kProductReady = 1, kSumRead = 2;

enum class Bug {
  kNone,
  kNoVectorToCube,
  kNoCubeToVector,
  kNoAnswer,
  kOneVectorForgets,
  kWrongFlag,
  kLeftSet,
  kWrongPipe,
  kSetEarly
};

// Both vector cores store x + 1 to the workspace, half a tile each; the cube multiplies it by y; the vectors copy the
// product to z.
template <Bug bug>
void VectorsOfProduct(const Arguments& gm, GlobalTensor<half> sum, GlobalTensor<float> product) {
  TPipe pipe;
  const auto in = Buffer<half>(pipe, kHalfTile), out = Buffer<half>(pipe, kHalfTile);
  const auto result = Buffer<float>(pipe, kHalfTile);
  const uint32_t at = GetSubBlockIdx() * kHalfTile;
  for (uint32_t i = 0; i < kSteps; ++i) {
    DataCopy(in, Gm<half>(gm.x)[i * kTile + at], kHalfTile);
    Order<HardEvent::MTE2_V>();
    Adds(out, in, static_cast<half>(1.0f), kHalfTile);
    Order<HardEvent::V_MTE3>();
    Order<HardEvent::V_MTE2>();
    if (i > 0 && bug != Bug::kNoAnswer) CrossCoreWaitFlag(kSumRead);
    if constexpr (bug == Bug::kSetEarly) CrossCoreSetFlag<2, PIPE_MTE3>(kSumReady);
    DataCopy(sum[at], out, kHalfTile);
    Order<HardEvent::MTE3_V>();
    if constexpr (bug == Bug::kWrongPipe) CrossCoreSetFlag<2, PIPE_MTE2>(kSumReady);
    if (bug == Bug::kOneVectorForgets && GetSubBlockIdx() == 1) continue;
    if constexpr (bug != Bug::kNoVectorToCube && bug != Bug::kWrongPipe && bug != Bug::kSetEarly) {
      CrossCoreSetFlag<2, PIPE_MTE3>(kSumReady);
    }
  }
  for (uint32_t i = 0; i < kSteps; ++i) {
    if constexpr (bug != Bug::kNoCubeToVector) CrossCoreWaitFlag(kProductReady);
    DataCopy(result, product[i * kTile + at], kHalfTile);  // BUG missing_cube_to_vector
    Order<HardEvent::MTE2_MTE3>();
    DataCopy(Gm<float>(gm.z)[i * kTile + at], result, kHalfTile);
    Order<HardEvent::MTE3_MTE2>();
  }
}

template <Bug bug>
void CubeOfProduct(const Arguments& gm, GlobalTensor<half> sum, GlobalTensor<float> product) {
  TPipe pipe;
  const auto a1 = Buffer<half, TPosition::A1>(pipe, kTile), b1 = Buffer<half, TPosition::B1>(pipe, kTile);
  const auto a2 = Buffer<half, TPosition::A2>(pipe, kTile), b2 = Buffer<half, TPosition::B2>(pipe, kTile);
  const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
  for (uint32_t i = 0; i < kSteps; ++i) {
    DataCopy(b1, Gm<half>(gm.y), kTile);
    if constexpr (bug == Bug::kWrongFlag) CrossCoreWaitFlag(kSumRead);             // BUG wrong_cross_core_flag
    else if constexpr (bug != Bug::kNoVectorToCube) CrossCoreWaitFlag(kSumReady);  // BUG one_vector_forgets
    // BUG missing_vector_to_cube wrong_pipe_of_cross_core_flag cross_core_flag_too_early missing_answer_between_cores
    DataCopy(a1, sum, kTile);
    if (i + 1 < kSteps && bug != Bug::kNoAnswer) CrossCoreSetFlag<2, PIPE_MTE2>(kSumRead);
    if constexpr (bug == Bug::kLeftSet) CrossCoreSetFlag<2, PIPE_MTE2>(kSumRead + 1);  // BUG cross_core_flag_left_set
    Order<HardEvent::MTE2_MTE1>();
    LoadData(a2, a1, {0, 1, 1, 0, 0, false, 0});
    LoadData(b2, b1, {0, 1, 1, 0, 0, true, 0});
    Order<HardEvent::MTE1_MTE2>();
    Order<HardEvent::MTE1_M>();
    Mmad(c, a2, b2, {kSize, kSize, kSize, 0, false, true});
    Order<HardEvent::M_MTE1>();
    Order<HardEvent::M_FIX>();
    Fixpipe(product[i * kTile], c, {kSize, kSize, kSize, kSize, false});
    Order<HardEvent::FIX_M>();
    if constexpr (bug != Bug::kNoCubeToVector) CrossCoreSetFlag<2, PIPE_FIX>(kProductReady);
  }
}

template <Bug bug>
void Product(const Arguments& gm) {
  const GlobalTensor<half> sum = Gm<half>(gm.workspace);
  const GlobalTensor<float> product = Gm<float>(gm.workspace + kTile * sizeof(half));
  if ASCEND_IS_AIV
    VectorsOfProduct<bug>(gm, sum, product);
  else CubeOfProduct<bug>(gm, sum, product);
}

// A flag counts to 15.
template <bool broken>
void cross_core_flag_overflow(const Arguments&) {
  constexpr int kSets = broken ? 18 : 15;
  for (int i = 0; i < kSets; ++i) {
    if ASCEND_IS_AIC
      CrossCoreSetFlag<2, PIPE_FIX>(0);  // BUG cross_core_flag_overflow
    else CrossCoreWaitFlag(0);
  }
}

// Also while the other vector core has not set it yet.
template <bool broken>
void flag_overflow_of_one_core(const Arguments&) {
  constexpr int kSets = broken ? 16 : 15;
  if ASCEND_IS_AIC {
    CrossCoreSetFlag<2, PIPE_FIX>(1);
    for (int i = 0; i < kSets; ++i) CrossCoreWaitFlag(0);
  } else {
    if (GetSubBlockIdx() == 1) CrossCoreWaitFlag(1);
    for (int i = 0; i < kSets; ++i) CrossCoreSetFlag<2, PIPE_MTE3>(0);  // BUG flag_overflow_of_one_core
    if (GetSubBlockIdx() == 0) CrossCoreWaitFlag(1);
  }
}

// A flag that two pipes set tells the cube twice that "something" is done: not which of the two. The vectors copy x to
// the workspace, half a tile each; the cube multiplies it by y.
template <bool broken>
void flags_out_of_order(const Arguments& gm) {
  constexpr uint16_t kStored = 0, kLoaded = broken ? 0 : 3;
  const GlobalTensor<half> copy = Gm<half>(gm.workspace);
  TPipe pipe;
  if ASCEND_IS_AIV {
    const auto tile = Buffer<half>(pipe, kHalfTile);
    const uint32_t at = GetSubBlockIdx() * kHalfTile;
    DataCopy(tile, Gm<half>(gm.x)[at], kHalfTile);
    Order<HardEvent::MTE2_MTE3>();
    DataCopy(copy[at], tile, kHalfTile);
    CrossCoreSetFlag<2, PIPE_MTE3>(kStored);
    CrossCoreSetFlag<2, PIPE_MTE2>(kLoaded);
  } else {
    const auto a1 = Buffer<half, TPosition::A1>(pipe, kTile), b1 = Buffer<half, TPosition::B1>(pipe, kTile);
    const auto a2 = Buffer<half, TPosition::A2>(pipe, kTile), b2 = Buffer<half, TPosition::B2>(pipe, kTile);
    const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
    DataCopy(b1, Gm<half>(gm.y), kTile);
    CrossCoreWaitFlag(kStored);
    DataCopy(a1, copy, kTile);  // BUG flags_out_of_order
    Order<HardEvent::MTE2_MTE1>();
    LoadData(a2, a1, {0, 1, 1, 0, 0, false, 0});
    LoadData(b2, b1, {0, 1, 1, 0, 0, true, 0});
    Order<HardEvent::MTE1_M>();
    Mmad(c, a2, b2, {kSize, kSize, kSize, 0, false, true});
    Order<HardEvent::M_FIX>();
    CrossCoreWaitFlag(kLoaded);
    Fixpipe(Gm<float>(gm.z), c, {kSize, kSize, kSize, kSize, false});
  }
}

// Cube and vectors wait for one another before they set.
template <bool broken>
void cross_core_deadlock(const Arguments&) {
  if ASCEND_IS_AIC {
    CrossCoreWaitFlag(0);
    CrossCoreSetFlag<2, PIPE_FIX>(1);
  } else {
    if constexpr (!broken) CrossCoreSetFlag<2, PIPE_MTE3>(0);
    CrossCoreWaitFlag(1);  // BUG cross_core_deadlock
    if constexpr (broken) CrossCoreSetFlag<2, PIPE_MTE3>(0);
  }
}

// Only one of the two vector cores of a group sets a flag that the cube has no wait for.
template <bool broken>
void incomplete_cross_core_flag(const Arguments&) {
  if ASCEND_IS_AIV {
    if (!broken || GetSubBlockIdx() == 0) CrossCoreSetFlag<2, PIPE_MTE3>(3);  // BUG incomplete_cross_core_flag
  } else if constexpr (!broken) {
    CrossCoreWaitFlag(3);
  }
}

// Each core stores the constant 1 to its elements of z: one of them, next to the other core's; broken: the same one.
template <bool broken>
void gm_race(const Arguments& gm) {
  TPipe pipe;
  const auto one = Buffer<float>(pipe, 8);
  Duplicate(one, 1.0f, 8);
  Order<HardEvent::V_MTE3>();
  DataCopyPad(Gm<float>(gm.z)[broken ? 0 : GetBlockIdx()], one, {1, sizeof(float), 0, 0, 0});  // BUG gm_race
}

enum class Sync { kAll, kNone, kSomeCores, kNoWait };

// Core i stores x of tile i to the workspace and reads what its neighbour stored: z = x of the neighbour's tile.
template <Sync sync>
void Exchange(const Arguments& gm) {
  TPipe pipe;
  const auto tile = Buffer<float>(pipe, kTile);
  const GlobalTensor<float> shared = Gm<float>(gm.workspace);
  const uint32_t mine = GetBlockIdx(), other = GetBlockNum() - 1 - mine;
  DataCopy(tile, Gm<float>(gm.x)[mine * kTile], kTile);
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(shared[mine * kTile], tile, kTile);
  if (sync == Sync::kSomeCores && mine == 1) return;
  if constexpr (sync == Sync::kAll || sync == Sync::kSomeCores) SyncAll();  // BUG sync_all_on_some_cores
  if constexpr (sync == Sync::kNone) PipeBarrier<PIPE_ALL>();
  if constexpr (sync == Sync::kNoWait) {
    CrossCoreSetFlag<0, PIPE_MTE3>(5);  // BUG all_cores_flag_left_set
    if (mine == 0) CrossCoreWaitFlag(5);
    SyncAll();
  }
  DataCopy(tile, shared[other * kTile], kTile);  // BUG missing_sync_all
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z)[mine * kTile], tile, kTile);
}

// Cross-core flags need the scheduler, which is off in kernels of this type.
template <bool broken>
void SyncOfTaskType(const Arguments&) {
  SyncAll();  // BUG sync_all_without_scheduler
}

// z = x0 + x1: both cores add their tile to the tile of zeros; broken: one of them stores it.
template <bool broken>
void atomic_and_plain_write(const Arguments& gm) {
  TPipe pipe;
  const auto tile = Buffer<float>(pipe, kTile);
  DataCopy(tile, Gm<float>(gm.x)[GetBlockIdx() * kTile], kTile);
  Order<HardEvent::MTE2_MTE3>();
  if (!broken || GetBlockIdx() == 0) SetAtomicAdd<float>();
  DataCopy(Gm<float>(gm.z), tile, kTile);  // BUG atomic_and_plain_write
  SetAtomicNone();
}

}  // namespace

#define PRODUCT_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_MIX_AIC_1_2, Product, Bug::bug, Bug::kNone)
#define EXCHANGE_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_MIX_AIV_1_0, Exchange, Sync::bug, Sync::kAll)
PRODUCT_BUG(missing_vector_to_cube, kNoVectorToCube)
PRODUCT_BUG(missing_cube_to_vector, kNoCubeToVector)
PRODUCT_BUG(missing_answer_between_cores, kNoAnswer)
PRODUCT_BUG(one_vector_forgets, kOneVectorForgets)
PRODUCT_BUG(wrong_cross_core_flag, kWrongFlag)
PRODUCT_BUG(cross_core_flag_left_set, kLeftSet)
PRODUCT_BUG(wrong_pipe_of_cross_core_flag, kWrongPipe)
PRODUCT_BUG(cross_core_flag_too_early, kSetEarly)
TWINS(cross_core_flag_overflow, KERNEL_TYPE_MIX_AIC_1_2)
TWINS(flag_overflow_of_one_core, KERNEL_TYPE_MIX_AIC_1_2)
TWINS(flags_out_of_order, KERNEL_TYPE_MIX_AIC_1_2)
TWINS(cross_core_deadlock, KERNEL_TYPE_MIX_AIC_1_2)
TWINS(incomplete_cross_core_flag, KERNEL_TYPE_MIX_AIC_1_2)
TWINS(gm_race, KERNEL_TYPE_AIV_ONLY)
EXCHANGE_BUG(missing_sync_all, kNone)
EXCHANGE_BUG(sync_all_on_some_cores, kSomeCores)
EXCHANGE_BUG(all_cores_flag_left_set, kNoWait)
ENTRY(sync_all_without_scheduler_broken, KERNEL_TYPE_AIV_ONLY, SyncOfTaskType<true>)
ENTRY(sync_all_without_scheduler_correct, KERNEL_TYPE_MIX_AIV_1_0, SyncOfTaskType<false>)
TWINS(atomic_and_plain_write, KERNEL_TYPE_AIV_ONLY)
