// Order between the pipes of a core and between cores.
#pragma once

#include "chip/core_api.h"
#include "dtypes.h"
#include "macros.h"

namespace AscendC {

enum class HardEvent : uint8_t {
  MTE2_MTE1,
  MTE1_MTE2,
  MTE1_M,
  M_MTE1,
  MTE2_V,
  V_MTE2,
  MTE3_V,
  V_MTE3,
  M_V,
  V_M,
  V_V,
  MTE3_MTE1,
  MTE1_MTE3,
  MTE1_V,
  MTE2_M,
  M_MTE2,
  V_MTE1,
  M_FIX,
  FIX_M,
  MTE3_MTE2,
  MTE2_MTE3,
  S_V,
  V_S,
  S_MTE2,
  MTE2_S,
  S_MTE3,
  MTE3_S,
  MTE2_FIX,
  FIX_MTE2,
  FIX_S,
  M_S,
  FIX_MTE3,
  MTE1_FIX,
  FIX_MTE1,
  FIX_FIX,
  MAX
};

struct PipePair {
  npufa_sim::Pipe src, dst;
};

constexpr PipePair PipesOf(HardEvent event) {
  using P = npufa_sim::Pipe;
  constexpr PipePair pairs[] = {
      {P::kMTE2, P::kMTE1}, {P::kMTE1, P::kMTE2}, {P::kMTE1, P::kM},    {P::kM, P::kMTE1},   {P::kMTE2, P::kV},
      {P::kV, P::kMTE2},    {P::kMTE3, P::kV},    {P::kV, P::kMTE3},    {P::kM, P::kV},      {P::kV, P::kM},
      {P::kV, P::kV},       {P::kMTE3, P::kMTE1}, {P::kMTE1, P::kMTE3}, {P::kMTE1, P::kV},   {P::kMTE2, P::kM},
      {P::kM, P::kMTE2},    {P::kV, P::kMTE1},    {P::kM, P::kFIX},     {P::kFIX, P::kM},    {P::kMTE3, P::kMTE2},
      {P::kMTE2, P::kMTE3}, {P::kS, P::kV},       {P::kV, P::kS},       {P::kS, P::kMTE2},   {P::kMTE2, P::kS},
      {P::kS, P::kMTE3},    {P::kMTE3, P::kS},    {P::kMTE2, P::kFIX},  {P::kFIX, P::kMTE2}, {P::kFIX, P::kS},
      {P::kM, P::kS},       {P::kFIX, P::kMTE3},  {P::kMTE1, P::kFIX},  {P::kFIX, P::kMTE1}, {P::kFIX, P::kFIX},
  };
  return pairs[static_cast<int>(event)];
}

constexpr npufa_sim::Pipe PipeOf(pipe_t pipe) {
  using P = npufa_sim::Pipe;
  switch (pipe) {
    case PIPE_V: return P::kV;
    case PIPE_M: return P::kM;
    case PIPE_MTE1: return P::kMTE1;
    case PIPE_MTE2: return P::kMTE2;
    case PIPE_MTE3: return P::kMTE3;
    case PIPE_FIX: return P::kFIX;
    default: return P::kS;
  }
}

template <HardEvent event>
void SetFlag(int32_t eventID, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(event != HardEvent::MAX);
  npufa_sim::SetFlag(PipesOf(event).src, PipesOf(event).dst, eventID, site);
}

template <HardEvent event>
void WaitFlag(int32_t eventID, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(event != HardEvent::MAX);
  npufa_sim::WaitFlag(PipesOf(event).src, PipesOf(event).dst, eventID, site);
}

template <pipe_t src, pipe_t dst>
class TQueSync {
 public:
  void SetFlag(int8_t id, npufa_sim::Site site = npufa_sim::Site::Here()) {
    npufa_sim::SetFlag(PipeOf(src), PipeOf(dst), id, site);
  }
  void WaitFlag(int8_t id, npufa_sim::Site site = npufa_sim::Site::Here()) {
    npufa_sim::WaitFlag(PipeOf(src), PipeOf(dst), id, site);
  }
};

template <pipe_t pipe>
void PipeBarrier(npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(pipe != PIPE_S, "the scalar pipe orders itself");
  if constexpr (pipe == PIPE_ALL) npufa_sim::PipeBarrierAll(site);
  else npufa_sim::PipeBarrier(PipeOf(pipe), site);
}

template <uint8_t modeId, pipe_t pipe>
void CrossCoreSetFlag(uint16_t flagId, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(modeId <= 2, "this chip has modes 0, 1 and 2");
  static_assert(pipe != PIPE_S && pipe != PIPE_ALL, "a pipe that moves or computes data");
  npufa_sim::CrossCoreSet(modeId, PipeOf(pipe), flagId, site);
}

// This chip has one counter for all modes and blocks every pipe: the template arguments have no effect.
template <uint8_t modeId = 0, pipe_t pipe = PIPE_S>
void CrossCoreWaitFlag(uint16_t flagId, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CrossCoreWait(flagId, site);
}

inline void WaitEvent(uint16_t flagId, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CrossCoreWait(flagId, site);
}

template <bool isAIVOnly = true>
void SyncAll(npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SyncAll(isAIVOnly, site);
}

template <class T>
void SetAtomicKind(npufa_sim::AtomicKind kind) {
  using npufa_sim::AtomicType;
  constexpr npufa_sim::Dtype dtype = npufa_sim::DtypeOf<T>();
  constexpr AtomicType type = dtype == npufa_sim::Dtype::kFloat      ? AtomicType::kFloat
                              : dtype == npufa_sim::Dtype::kHalf     ? AtomicType::kHalf
                              : dtype == npufa_sim::Dtype::kBfloat16 ? AtomicType::kBfloat16
                              : dtype == npufa_sim::Dtype::kInt32    ? AtomicType::kInt32
                              : dtype == npufa_sim::Dtype::kInt16    ? AtomicType::kInt16
                                                                     : AtomicType::kInt8;
  static_assert(dtype == npufa_sim::Dtype::kInt8 || type != AtomicType::kInt8, "no atomic operation on this type");
  npufa_sim::CurrentAtomic() = {kind, type};
}

template <class T>
void SetAtomicAdd() {
  SetAtomicKind<T>(npufa_sim::AtomicKind::kAdd);
}
template <class T>
void SetAtomicMax() {
  SetAtomicKind<T>(npufa_sim::AtomicKind::kMax);
}
template <class T>
void SetAtomicMin() {
  SetAtomicKind<T>(npufa_sim::AtomicKind::kMin);
}
inline void SetAtomicNone() { npufa_sim::CurrentAtomic() = {}; }

}  // namespace AscendC
