#include "core_api.h"

#include <atomic>

#include "core.h"
#include "machine.h"

namespace npufa_sim {

void SetFlag(Pipe src, Pipe dst, int id, Site site) { Current().SetFlag(src, dst, id, site); }
void WaitFlag(Pipe src, Pipe dst, int id, Site site) { Current().WaitFlag(src, dst, id, site); }
void PipeBarrier(Pipe pipe, Site site) { Current().Barrier(pipe, site); }
void PipeBarrierAll(Site site) { Current().BarrierAll(site); }
void QueueStep() { Current().next_manner = Manner::kQueued; }
bool Profiled() { return Current().state().options.trace; }
void CrossCoreSet(int mode, Pipe pipe, int flag, Site site) { Current().CrossSet(mode, pipe, flag, site); }
void CrossCoreWait(int flag, Site site) { Current().CrossWait(flag, site); }
void SyncAll(bool vector_only, Site site) { Current().SyncAll(vector_only, site); }
void Publish(const void* address, Site site, bool traced) { Current().Publish(address, site, traced); }
void Observe(const void* address, Site site) { Current().Observe(address, site); }
void PollGm(Site site) { Current().PollGm(site); }
void ManageCache(const void* address, Site site) { Current().ManageCache(address, site); }
void HaveReadWord(const void* address, Site site) {
  std::atomic_thread_fence(std::memory_order_acquire);
  if (Core& core = Current(); core.manages_cache()) core.Observe(address, site);
}

std::int64_t BlockIndex() {
  const Core& core = Current();
  if (core.kind() == CoreKind::kCube) return core.group();
  return core.group() * core.state().VectorsPerGroup() + core.vector_index();
}

std::int64_t GroupIndex() {
  const Core& core = Current();
  return core.state().type == TaskType::kAivOnly ? BlockIndex() : core.group();
}

std::uint64_t IssuedInstructions() { return Current().issued(); }

std::int64_t BlockCount() { return Current().state().launch.block_dim; }
std::int64_t SubBlockIndex() { return Current().kind() == CoreKind::kCube ? 0 : Current().vector_index(); }

std::int64_t SubBlockCount() {
  const LaunchState& state = Current().state();
  return state.type == TaskType::kMix1To2 ? 2 : 1;
}

std::uint64_t TilingKey() { return Current().state().launch.tiling_key; }

void DeclareTaskType(std::uint64_t tiling_key, bool any_key, int type, bool scheduler) {
  ProbedTaskType(tiling_key, any_key, {static_cast<TaskType>(type), scheduler});
}

std::uint32_t SpaceBytes(Space space) { return Current().memory(space).bytes(); }
std::uint64_t AllocateLocal(Space space, std::uint32_t bytes, Site site) {
  return Current().Allocate(space, bytes, site);
}
std::uint64_t AllocatedBytes(Space space) { return Current().Allocated(space); }
void ResetLocal() { Current().ResetAllocation(); }
void ForgetLocal(Space space, std::uint64_t address, std::uint32_t bytes) {
  if (Current().state().options.check) Current().memory(space).Forget(address, bytes);
}

VectorMask& CurrentMask() { return Current().mask; }
AtomicMode& CurrentAtomic() { return Current().atomic; }
ControlRegister& Control() { return Current().control; }
void SetControlBit(int bit, bool on) {
  const std::uint64_t mask = std::uint64_t{1} << bit;
  Control().value = on ? Control().value | mask : Control().value & ~mask;
  Control().set |= mask;
}
std::uint64_t* Scratch() { return Current().scratch; }
std::uint8_t* SparseIndices() {
  Core& core = Current();
  core.sparse_indices.resize(core.memory(Space::kL0B).bytes() / 4);
  return core.sparse_indices.data();
}

void Fault(const char* check, Site site, const char* instruction, const char* message, const char* advice) {
  KernelFinding finding = Current().NewFinding(check, site, instruction);
  finding.message = message;
  finding.advice = advice;
  Current().Fault(std::move(finding));
}

void Finding(const char* check, Site site, const char* instruction, const char* message, const char* advice) {
  KernelFinding finding = Current().NewFinding(check, site, instruction);
  finding.message = message;
  finding.advice = advice;
  Current().Report(std::move(finding));
}

}  // namespace npufa_sim
