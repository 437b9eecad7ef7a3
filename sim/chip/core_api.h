// What a kernel's core can do besides data instructions: order, identity, modes. Implemented by the chip, called by the
// Ascend C layer on the core that is executing.
#pragma once

#include <cstdint>

#include "types.h"

namespace npufa_sim {

void SetFlag(Pipe src, Pipe dst, int id, Site site);
void WaitFlag(Pipe src, Pipe dst, int id, Site site);
void PipeBarrier(Pipe pipe, Site site);
void PipeBarrierAll(Site site);
// The next flag belongs to a queue, which does its bookkeeping around it.
void QueueStep();
// Instructions are recorded for the time model.
bool Profiled();

// Modes as CrossCoreSetFlag: 0 all cores of this kind, 1 the vector cores of a group, 2 cube and vectors of a group.
void CrossCoreSet(int mode, Pipe pipe, int flag, Site site);
void CrossCoreWait(int flag, Site site);
void SyncAll(bool vector_only, Site site);
// Flags in global memory, see Core.
void Publish(const void* address, Site site, bool traced);
void Observe(const void* address, Site site);
void PollGm(Site site);
void ManageCache(const void* address, Site site);
// Of a word in global memory, once its value is known: another host thread publishes before it stores.
void HaveReadWord(const void* address, Site site);

std::int64_t BlockIndex();  // GetBlockIdx
std::int64_t BlockCount();  // GetBlockNum
std::int64_t GroupIndex();  // block_idx
std::uint64_t IssuedInstructions();
std::int64_t SubBlockIndex();
std::int64_t SubBlockCount();
std::uint64_t TilingKey();
// `scheduler`: flags between cores work in kernels of this type.
void DeclareTaskType(std::uint64_t tiling_key, bool any_key, int type, bool scheduler);

// Bytes of a local memory of the current core; 0 where it has none.
std::uint32_t SpaceBytes(Space space);
// Registers a buffer so that addresses in reports carry its name; returns its start address. Faults when the memory is full.
std::uint64_t AllocateLocal(Space space, std::uint32_t bytes, Site site);
std::uint64_t AllocatedBytes(Space space);
void ResetLocal();
// From here on the bytes count as never written.
void ForgetLocal(Space space, std::uint64_t address, std::uint32_t bytes);

// Modes that stay set until changed.
struct VectorMask {
  std::uint64_t low = ~0ULL, high = ~0ULL;
  bool counter = false;
};
VectorMask& CurrentMask();

// CTRL: modes that outlive a kernel. `set`: the bits that this kernel has written.
struct ControlRegister {
  std::uint64_t value = 0, set = 0;
  bool Bit(int bit) const { return value >> bit & 1; }
  bool Inherited(int bit) const { return (set >> bit & 1) == 0; }
};
inline constexpr int kHf32Bit = 46;          // float operands of Mmad are rounded to HF32,
inline constexpr int kHf32TiesBit = 47;      // with ties towards zero
inline constexpr int kNoSaturationBit = 48;  // infinities and NaN stay what they are in half and bfloat16_t
inline constexpr int kIntegerSaturationBit = 53;
ControlRegister& Control();
void SetControlBit(int bit, bool on);

enum class AtomicKind : std::uint8_t { kNone, kAdd, kMax, kMin };
enum class AtomicType : std::uint8_t { kFloat, kHalf, kBfloat16, kInt32, kInt16, kInt8 };
struct AtomicMode {
  AtomicKind kind = AtomicKind::kNone;
  AtomicType type = AtomicType::kFloat;
};
AtomicMode& CurrentAtomic();

// Register-like state a layer above keeps per core (load-3D feature map, padding value, fixpipe settings ...); zeroed at
// the start of a kernel.
inline constexpr int kScratchWords = 64;
std::uint64_t* Scratch();
// The buffer beside L0B that says which elements of a sparse matrix are there.
std::uint8_t* SparseIndices();

// A fault of the kernel that has no operand: deadlock, misuse of a queue, an unsupported form. Ends the program.
[[noreturn]] void Fault(const char* check, Site site, const char* instruction, const char* message, const char* advice);
// Reported; the kernel goes on.
void Finding(const char* check, Site site, const char* instruction, const char* message, const char* advice);

}  // namespace npufa_sim
