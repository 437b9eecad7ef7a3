// TPipe hands out local memory and event ids; queues and buffers are views of what it handed out.
#pragma once

#include <array>
#include <cstring>

#include "constants.h"
#include "sync.h"
#include "tensor.h"

namespace AscendC {

enum class TBufState : uint8_t { FREE = 0, OCCUPIED, ENQUE, DEQUE };

struct TBufType {
  TBufState state = TBufState::FREE;
  HardEvent freeBufEvt = HardEvent::MAX;
  TEventID enQueEvtID = INVALID_TEVENTID;
  TEventID freeBufEvtID = INVALID_TEVENTID;
  uint32_t address = 0;
  uint32_t dataLen = 0;
};

class TPipe {
 public:
  TPipe(npufa_sim::Site site = npufa_sim::Site::Here()) {
    npufa_sim::Scratch()[kSlot] = reinterpret_cast<uint64_t>(this);
    ForKept([&](TEventID id) {
      Take(kKept, site);
      npufa_sim::SetFlag(PipesOf(kKept).src, PipesOf(kKept).dst, id, site);
    });
  }
  ~TPipe() {
    if (!destroyed_) Destroy();
  }
  TPipe(const TPipe&) = delete;

  void Init() {}

  template <class Queue>
  bool InitBuffer(Queue& queue, uint8_t num, uint32_t len, npufa_sim::Site site = npufa_sim::Site::Here()) {
    constexpr npufa_sim::Space space = SpaceOf(Queue::position);
    TBufType* first = buffers_.data() + queue_buffers_;
    for (int i = 0; i < num; ++i) {
      const uint32_t address = Allocate(space, len, site);
      TBufType& buffer = buffers_[queue_buffers_++] = {};
      buffer.address = address;
      buffer.dataLen = WholeBlocks(len);
      buffer.freeBufEvt = Queue::freeBufEvt;
    }
    queue.Reset(first, num);
    return true;
  }

  template <class Buffer, class = decltype(Buffer::is_plain_buffer)>
  bool InitBuffer(Buffer& buffer, uint32_t len, npufa_sim::Site site = npufa_sim::Site::Here()) {
    buffer.Set(Allocate(SpaceOf(Buffer::position), len, site), WholeBlocks(len));
    return true;
  }

  template <HardEvent event>
  TEventID AllocEventID(npufa_sim::Site site = npufa_sim::Site::Here()) {
    return Take(event, site);
  }
  template <HardEvent event>
  void ReleaseEventID(TEventID id) {
    Give(event, id);
  }
  template <HardEvent event>
  TEventID FetchEventID() {
    return FetchEventID(event);
  }
  TEventID FetchEventID(HardEvent event) {
    const uint8_t taken = taken_[static_cast<int>(event)];
    for (TEventID id = 0; id < kIds; ++id)
      if (!(taken >> id & 1)) return id;
    return INVALID_TEVENTID;
  }

  // A range of memory that hands out buffers itself; two pools may share one.
  template <class Pool>
  bool InitBufPool(Pool& pool, uint32_t len, npufa_sim::Site site = npufa_sim::Site::Here()) {
    pool.Take(Allocate(SpaceOf(Pool::poolPos), len, site), WholeBlocks(len));
    return true;
  }
  template <class Pool, class Other>
  bool InitBufPool(Pool& pool, uint32_t len, Other& shared, npufa_sim::Site = npufa_sim::Site::Here()) {
    pool.Take(shared.Start(), WholeBlocks(len));
    return true;
  }

  // Waits until every buffer given back is free, then forgets all buffers.
  void Reset(npufa_sim::Site site = npufa_sim::Site::Here()) {
    for (int i = 0; i < queue_buffers_; ++i) WaitUntilFree(buffers_[i], site);
    queue_buffers_ = buffer_count_ = 0;
    std::memset(taken_, 0, sizeof taken_);  // as the toolkit, which forgets those it keeps as well
    npufa_sim::ResetLocal();
  }
  void Destroy(npufa_sim::Site site = npufa_sim::Site::Here()) {
    destroyed_ = true;
    Reset(site);
    ForKept([&](TEventID id) {
      npufa_sim::WaitFlag(PipesOf(kKept).src, PipesOf(kKept).dst, id, site);
      Give(kKept, id);
    });
    npufa_sim::PipeBarrierAll(site);
  }

  // For queues and pools.
  void WaitUntilFree(TBufType& buffer, npufa_sim::Site site) {
    if (buffer.freeBufEvtID == INVALID_TEVENTID) return;
    npufa_sim::WaitFlag(PipesOf(buffer.freeBufEvt).src, PipesOf(buffer.freeBufEvt).dst, buffer.freeBufEvtID, site);
    Give(buffer.freeBufEvt, buffer.freeBufEvtID);
    buffer.freeBufEvtID = INVALID_TEVENTID;
  }
  TEventID Take(HardEvent event, npufa_sim::Site site) {
    const TEventID id = FetchEventID(event);
    if (id == INVALID_TEVENTID) {
      npufa_sim::Fault("event-ids", site, "AllocEventID", "all 8 event ids of this pair of pipes are in use",
                       "release ids that are no longer used, or use queues of fewer buffers");
    }
    taken_[static_cast<int>(event)] |= static_cast<uint8_t>(1 << id);
    return id;
  }
  void Give(HardEvent event, TEventID id) { taken_[static_cast<int>(event)] &= static_cast<uint8_t>(~(1 << id)); }

  static constexpr int kSlot = npufa_sim::kScratchWords - 1;

 private:
  static constexpr TEventID kIds = 8;
  static constexpr int kMaxBuffers = 64;

  // On a cube core the toolkit's matrix products own the first event ids of this kind, and find them set.
  static constexpr HardEvent kKept = HardEvent::M_MTE1;
  template <class F>
  static void ForKept(F&& f) {
    if ASCEND_IS_AIC {
      for (TEventID id = 0; id < 3; ++id) f(id);
    }
  }

  // Lengths are rounded up to blocks of 32 bytes.
  static uint32_t WholeBlocks(uint32_t len) { return (len + 31) / 32 * 32; }

  uint32_t Allocate(npufa_sim::Space space, uint32_t len, npufa_sim::Site site) {
    if (++buffer_count_ > kMaxBuffers) {
      npufa_sim::Fault("over-allocation", site, "InitBuffer", "more than 64 buffers in one TPipe",
                       "take tensors at offsets of one larger buffer with GetWithOffset");
    }
    return static_cast<uint32_t>(npufa_sim::AllocateLocal(space, WholeBlocks(len), site));
  }

  std::array<TBufType, kMaxBuffers> buffers_;  // of queues, in the order of InitBuffer
  int queue_buffers_ = 0, buffer_count_ = 0;
  bool destroyed_ = false;
  uint8_t taken_[static_cast<int>(HardEvent::MAX)] = {};
};

}  // namespace AscendC

// Not in the namespace, as in CANN.
inline AscendC::TPipe* GetTPipePtr() {
  return reinterpret_cast<AscendC::TPipe*>(npufa_sim::Scratch()[AscendC::TPipe::kSlot]);
}

namespace AscendC {

// Pipes on the two sides of a queue, by the memories it connects.
constexpr HardEvent QueueEvent(TPosition src, TPosition dst, bool forward) {
  using npufa_sim::Space;
  const Space from = SpaceOf(src), to = SpaceOf(dst);
  if (from == Space::kGM && to == Space::kL1) return forward ? HardEvent::MTE2_MTE1 : HardEvent::MTE1_MTE2;
  if (from == Space::kGM) return forward ? HardEvent::MTE2_V : HardEvent::V_MTE2;
  if (from == Space::kUB && to == Space::kUB) return forward ? HardEvent::MTE2_MTE3 : HardEvent::MTE3_MTE2;
  if (from == Space::kUB) return forward ? HardEvent::V_MTE3 : HardEvent::MTE3_V;
  if (from == Space::kL1 && to == Space::kFB) return forward ? HardEvent::MTE1_FIX : HardEvent::FIX_MTE1;
  if (from == Space::kL1) return forward ? HardEvent::MTE1_M : HardEvent::M_MTE1;
  return forward ? HardEvent::M_FIX : HardEvent::FIX_M;
}

constexpr TPosition QueueSource(TPosition position) {
  switch (position) {
    case TPosition::A2: return TPosition::A1;
    case TPosition::B2: return TPosition::B1;
    case TPosition::C2: return TPosition::C1;
    case TPosition::CO1: return TPosition::CO1;
    case TPosition::VECOUT: return TPosition::VECOUT;
    case TPosition::VECCALC: return TPosition::VECCALC;
    default: return TPosition::GM;
  }
}

constexpr TPosition QueueTarget(TPosition position) {
  switch (position) {
    case TPosition::CO1: return TPosition::CO2;
    case TPosition::VECOUT: return TPosition::GM;
    default: return position;
  }
}

template <TPosition src, TPosition dst, int32_t depth, auto mask = 0>
class TQueBind {
 public:
  static constexpr TPosition position = (src == TPosition::GM || SpaceOf(src) == npufa_sim::Space::kL1) ? dst : src;
  static constexpr HardEvent enQueEvt = QueueEvent(src, dst, true);
  static constexpr HardEvent freeBufEvt = QueueEvent(src, dst, false);

  template <class T>
  LocalTensor<T> AllocTensor(npufa_sim::Site site = npufa_sim::Site::Here()) {
    for (int i = 0; i < count_; ++i) {
      TBufType& buffer = buffers_[(cursor_ + i) % count_];
      if (buffer.state != TBufState::FREE) continue;
      cursor_ = (cursor_ + i + 1) % count_;
      buffer.state = TBufState::OCCUPIED;
      if (buffer.freeBufEvtID != INVALID_TEVENTID) {
        npufa_sim::QueueStep();
        npufa_sim::WaitFlag(PipesOf(freeBufEvt).src, PipesOf(freeBufEvt).dst, buffer.freeBufEvtID, site);
        GetTPipePtr()->Give(freeBufEvt, buffer.freeBufEvtID);
        buffer.freeBufEvtID = INVALID_TEVENTID;
      }
      // Documented to hold anything, also what an earlier tile left.
      npufa_sim::ForgetLocal(SpaceOf(position), buffer.address, buffer.dataLen);
      return Tensor<T>(buffer);
    }
    npufa_sim::Fault("queue", site, "AllocTensor", "every buffer of the queue is taken: the core hangs",
                     "FreeTensor a tensor first, or give the queue more buffers in InitBuffer");
  }

  template <class T>
  void FreeTensor(LocalTensor<T>& tensor, npufa_sim::Site site = npufa_sim::Site::Here()) {
    TBufType& buffer = BufferOf(tensor, "FreeTensor", site);
    if (buffer.state == TBufState::FREE || buffer.state == TBufState::ENQUE) {
      npufa_sim::Fault("queue", site, "FreeTensor", "the tensor is not taken out of the queue",
                       "free a tensor once, after DeQue");
    }
    buffer.freeBufEvtID = GetTPipePtr()->Take(freeBufEvt, site);
    npufa_sim::QueueStep();
    npufa_sim::SetFlag(PipesOf(freeBufEvt).src, PipesOf(freeBufEvt).dst, buffer.freeBufEvtID, site);
    buffer.state = TBufState::FREE;
  }

  template <class T>
  bool EnQue(const LocalTensor<T>& tensor, npufa_sim::Site site = npufa_sim::Site::Here()) {
    TBufType& buffer = BufferOf(tensor, "EnQue", site);
    if (buffer.state != TBufState::OCCUPIED && buffer.state != TBufState::DEQUE) {
      npufa_sim::Fault("queue", site, "EnQue", "the tensor is not allocated from the queue",
                       "EnQue what AllocTensor returned, once");
    }
    if (queued_ >= depth) {
      npufa_sim::Fault("queue", site, "EnQue", "the queue is full",
                       "DeQue before the next EnQue, or raise the queue's depth");
    }
    buffer.enQueEvtID = GetTPipePtr()->Take(enQueEvt, site);
    npufa_sim::QueueStep();
    npufa_sim::SetFlag(PipesOf(enQueEvt).src, PipesOf(enQueEvt).dst, buffer.enQueEvtID, site);
    buffer.state = TBufState::ENQUE;
    queue_[(oldest_ + queued_++) % kSlots] = &buffer;
    return true;
  }

  template <class T>
  LocalTensor<T> DeQue(npufa_sim::Site site = npufa_sim::Site::Here()) {
    if (queued_ == 0) {
      npufa_sim::Fault("queue", site, "DeQue", "the queue is empty: the core hangs", "EnQue a tensor before DeQue");
    }
    TBufType& buffer = *queue_[oldest_];
    oldest_ = (oldest_ + 1) % kSlots;
    --queued_;
    npufa_sim::QueueStep();
    npufa_sim::WaitFlag(PipesOf(enQueEvt).src, PipesOf(enQueEvt).dst, buffer.enQueEvtID, site);
    GetTPipePtr()->Give(enQueEvt, buffer.enQueEvtID);
    buffer.enQueEvtID = INVALID_TEVENTID;
    buffer.state = TBufState::DEQUE;
    return Tensor<T>(buffer);
  }

  bool VacantInQue() const { return queued_ < depth; }
  bool HasTensorInQue() const { return queued_ > 0; }
  int32_t GetTensorCountInQue() const { return queued_; }
  bool HasIdleBuffer() const {
    for (int i = 0; i < count_; ++i)
      if (buffers_[i].state == TBufState::FREE) return true;
    return false;
  }
  template <class T>
  TBufState GetState(const LocalTensor<T>& tensor, npufa_sim::Site site = npufa_sim::Site::Here()) {
    return BufferOf(tensor, "GetState", site).state;
  }

  // For TPipe and pools.
  void InitStartBufHandle(TBufHandle first, uint8_t num, uint32_t) { Reset(reinterpret_cast<TBufType*>(first), num); }
  template <class Pool>
  void InitBufHandle(Pool*, uint32_t index, TBufHandle, uint32_t address, uint32_t len) {
    buffers_[index] = {};
    buffers_[index].address = address;
    buffers_[index].dataLen = len;
    buffers_[index].freeBufEvt = freeBufEvt;
  }
  void Reset(TBufType* buffers, int count) {
    buffers_ = buffers;
    count_ = count;
    cursor_ = queued_ = oldest_ = 0;
  }

 private:
  template <class T>
  LocalTensor<T> Tensor(TBufType& buffer) {
    return LocalTensor<T>(TBuffAddr{buffer.dataLen, buffer.address, reinterpret_cast<TBufHandle>(&buffer),
                                    static_cast<uint8_t>(position)});
  }

  template <class T>
  TBufType& BufferOf(const LocalTensor<T>& tensor, const char* what, npufa_sim::Site site) {
    for (int i = 0; i < count_; ++i)
      if (reinterpret_cast<TBufHandle>(&buffers_[i]) == tensor.address_.bufferHandle) return buffers_[i];
    npufa_sim::Fault("queue", site, what, "the tensor does not come from this queue",
                     "use the queue that allocated it");
  }

  static constexpr int32_t kSlots = depth > 0 ? depth : 1;

  TBufType* buffers_ = nullptr;  // of the pipe
  std::array<TBufType*, kSlots> queue_{};
  int32_t count_ = 0, cursor_ = 0, queued_ = 0, oldest_ = 0;
};

template <TPosition pos, int32_t depth, auto mask = 0>
class TQue : public TQueBind<QueueSource(pos), QueueTarget(pos), depth, mask> {};

template <TPosition pos = TPosition::LCM>
class TBuf {
 public:
  static constexpr TPosition position = pos;
  static constexpr bool is_plain_buffer = true;

  template <class T>
  LocalTensor<T> Get() {
    return Get<T>(static_cast<uint32_t>(ElementsOf<T>(bytes_)));
  }
  template <class T>
  LocalTensor<T> Get(uint32_t len) {
    return GetWithOffset<T>(len, 0);
  }
  template <class T>
  LocalTensor<T> GetWithOffset(uint32_t size, uint32_t bufOffset) {
    LocalTensor<T> tensor(TBuffAddr{bytes_, address_, nullptr, static_cast<uint8_t>(pos)});
    tensor.address_.bufferAddr += bufOffset;
    tensor.SetSize(size);
    return tensor;
  }

  void Set(uint32_t address, uint32_t bytes) {
    address_ = address;
    bytes_ = bytes;
  }
  void InitStartBufHandle(TBufHandle, uint8_t, uint32_t) {}
  template <class Pool>
  void InitBufHandle(Pool*, uint32_t, TBufHandle, uint32_t address, uint32_t len) {
    Set(address, len);
  }
  template <class T>
  void FreeTensor(LocalTensor<T>&) {}

 private:
  uint32_t address_ = 0, bytes_ = 0;
};

// What InitBuffer has not given away yet, for the time of one call.
template <class T, TPosition pos>
bool PopStackBuffer(LocalTensor<T>& pop) {
  static_assert(SpaceOf(pos) == npufa_sim::Space::kUB, "temporary memory of this kind is in UB");
  const auto used = static_cast<uint32_t>(npufa_sim::AllocatedBytes(SpaceOf(pos)));
  pop.SetAddr(TBuffAddr{TOTAL_UB_SIZE - used, used, nullptr, static_cast<uint8_t>(pos)});
  return true;
}
template <TPosition pos>
bool PopStackBuffer(TBuf<pos>& pop, TBufType&) {
  const auto used = static_cast<uint32_t>(npufa_sim::AllocatedBytes(SpaceOf(pos)));
  pop.Set(used, TOTAL_UB_SIZE - used);
  return true;
}

template <TPosition pos, int32_t depth = 1, auto mask = 0>
using TSCM = TQueBind<pos, TPosition::TSCM, depth, mask>;

}  // namespace AscendC
