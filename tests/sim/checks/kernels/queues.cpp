// Queues and buffers of TPipe: z = x + 1 of 256 floats, tile by tile.
#include "checks.h"

namespace {

constexpr uint32_t kCount = 256, kTile = 64, kTileBytes = kTile * sizeof(float);

using InQueue = TQue<QuePosition::VECIN, 2>;
using OutQueue = TQue<QuePosition::VECOUT, 2>;

enum class Bug {
  kNone,
  kNoEnQue,
  kNoDeQue,
  kFreeTwice,
  kFreeEarly,
  kNoFree,
  kForeign,
  kEnQueEarly,
  kEnQueTwice,
  kDeQueTwice
};

template <Bug bug>
void AddOne(const Arguments& gm) {
  TPipe pipe;
  InQueue in_queue;
  OutQueue out_queue;
  pipe.InitBuffer(in_queue, 2, kTileBytes);
  pipe.InitBuffer(out_queue, 2, kTileBytes);
  for (uint32_t i = 0; i < kCount; i += kTile) {
    LocalTensor<float> in = in_queue.AllocTensor<float>();  // BUG missing_free_tensor
    DataCopy(in, Gm<float>(gm.x)[i], kTile);                // BUG free_before_use
    if constexpr (bug != Bug::kNoEnQue) in_queue.EnQue(in);
    if constexpr (bug == Bug::kEnQueTwice) in_queue.EnQue(in);            // BUG enque_twice
    if constexpr (bug != Bug::kNoDeQue) in = in_queue.DeQue<float>();     // BUG missing_enque
    if constexpr (bug == Bug::kDeQueTwice) in = in_queue.DeQue<float>();  // BUG deque_twice
    if constexpr (bug == Bug::kFreeEarly) in_queue.FreeTensor(in);
    LocalTensor<float> out = out_queue.AllocTensor<float>();
    if constexpr (bug == Bug::kEnQueEarly) out_queue.EnQue(out);
    Adds(out, in, 1.0f, kTile);                               // BUG missing_deque
    if constexpr (bug == Bug::kForeign) in_queue.EnQue(out);  // BUG foreign_tensor
    else if constexpr (bug != Bug::kEnQueEarly) out_queue.EnQue(out);
    if constexpr (bug == Bug::kNoDeQue) in = in_queue.DeQue<float>();
    if constexpr (bug != Bug::kNoFree && bug != Bug::kFreeEarly) in_queue.FreeTensor(in);
    if constexpr (bug == Bug::kFreeTwice) in_queue.FreeTensor(in);  // BUG double_free
    out = out_queue.DeQue<float>();
    DataCopy(Gm<float>(gm.z)[i], out, kTile);  // BUG enque_before_write
    out_queue.FreeTensor(out);
  }
}

// Three tiles at once through a queue; z = x of those.
template <bool broken>
void alloc_beyond_buffers(const Arguments& gm) {
  constexpr int kTiles = 3;
  TPipe pipe;
  TQueBind<QuePosition::VECIN, QuePosition::VECOUT, kTiles> queue;
  pipe.InitBuffer(queue, broken ? kTiles - 1 : kTiles, kTileBytes);
  for (int i = 0; i < kTiles; ++i) {
    LocalTensor<float> tile = queue.AllocTensor<float>();  // BUG alloc_beyond_buffers
    DataCopy(tile, Gm<float>(gm.x)[i * kTile], kTile);
    queue.EnQue(tile);
  }
  for (int i = 0; i < kTiles; ++i) {
    LocalTensor<float> tile = queue.DeQue<float>();
    DataCopy(Gm<float>(gm.z)[i * kTile], tile, kTile);
    queue.FreeTensor(tile);
  }
}

// A queue of depth 1 does not take a second tensor; z = x of two tiles.
template <bool broken>
void queue_too_shallow(const Arguments& gm) {
  TPipe pipe;
  TQueBind<QuePosition::VECIN, QuePosition::VECOUT, broken ? 1 : 2> queue;
  pipe.InitBuffer(queue, 2, kTileBytes);
  for (int i = 0; i < 2; ++i) {
    LocalTensor<float> tile = queue.template AllocTensor<float>();
    DataCopy(tile, Gm<float>(gm.x)[i * kTile], kTile);
    queue.EnQue(tile);  // BUG queue_too_shallow
  }
  for (int i = 0; i < 2; ++i) {
    LocalTensor<float> tile = queue.template DeQue<float>();
    DataCopy(Gm<float>(gm.z)[i * kTile], tile, kTile);
    queue.FreeTensor(tile);
  }
}

// Event ids that are never released; z = x + 1.
template <bool broken>
void event_ids_used_up(const Arguments& gm) {
  constexpr uint32_t kStep = 16;
  TPipe pipe;
  const auto buffer = Buffer<float>(pipe, kCount);
  for (uint32_t i = 0; i < kCount; i += kStep) {
    DataCopy(buffer[i], Gm<float>(gm.x)[i], kStep);
    const TEventID id = pipe.AllocEventID<HardEvent::MTE2_V>();  // BUG event_ids_used_up
    SetFlag<HardEvent::MTE2_V>(id);
    WaitFlag<HardEvent::MTE2_V>(id);
    if constexpr (!broken) pipe.ReleaseEventID<HardEvent::MTE2_V>(id);
    Adds(buffer[i], buffer[i], 1.0f, kStep);
  }
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), buffer, kCount);
}

// A pipe has 64 buffers; z = x.
template <bool broken>
void too_many_buffers(const Arguments& gm) {
  TPipe pipe;
  const auto first = Buffer<float>(pipe, kCount);
  for (int i = 1; i < (broken ? 65 : 64); ++i) {
    TBuf<> buffer;
    pipe.InitBuffer(buffer, 32);  // BUG too_many_buffers
  }
  DataCopy(first, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), first, kCount);
}

// UB holds 192 KB, of which the toolkit keeps some; z = x.
template <bool broken>
void over_allocation_ub(const Arguments& gm) {
  constexpr uint32_t kHalf = 96 * 1024, kKept = 8 * 1024;
  TPipe pipe;
  OutQueue queue;
  TBuf<> buffer;
  pipe.InitBuffer(queue, 2, kHalf / 2);
  pipe.InitBuffer(buffer, broken ? kHalf + 32 : kHalf - kKept);  // BUG over_allocation_ub
  const auto tile = buffer.Get<float>(kCount);
  DataCopy(tile, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_MTE3>();
  DataCopy(Gm<float>(gm.z), tile, kCount);
}

// L1 has 512 KB less 256 bytes for kernels, and L0A 64 KB. Nothing is computed.
template <TPosition position, uint32_t bytes, bool broken>
void Allocate(const Arguments&) {
  TPipe pipe;
  TBuf<position> first, second;
  pipe.InitBuffer(first, bytes / 2);
  // BUG over_allocation_l1 over_allocation_l0a over_allocation_l0c
  pipe.InitBuffer(second, broken ? bytes / 2 + 1 : bytes / 2);
}

template <bool broken>
void over_allocation_l1(const Arguments& gm) {
  Allocate<TPosition::A1, 512 * 1024 - 256, broken>(gm);
}
template <bool broken>
void over_allocation_l0a(const Arguments& gm) {
  Allocate<TPosition::A2, 64 * 1024, broken>(gm);
}
template <bool broken>
void over_allocation_l0c(const Arguments& gm) {
  Allocate<TPosition::CO1, 128 * 1024, broken>(gm);
}

// TPipe leaves the last bytes of L1 to the system. Kernels may use them by address.
template <bool broken>
void l1_reserve(const Arguments& gm) {
  DataCopy(LocalTensor<half>(TPosition::A1, 512 * 1024 - 256, 128), Gm<half>(gm.x), 128);
  TPipe pipe;
  TBuf<TPosition::A1> buffer;
  pipe.InitBuffer(buffer, broken ? 512 * 1024 : 512 * 1024 - 256);  // BUG l1_reserve
}

// On a cube core three of the eight event ids from M to MTE1 are TPipe's.
template <bool broken>
void kept_event_ids(const Arguments&) {
  constexpr uint8_t kBuffers = broken ? 6 : 5;
  TPipe pipe;
  TQue<TPosition::A2, 1> queue;
  pipe.InitBuffer(queue, kBuffers, 512);
  for (uint8_t i = 0; i < kBuffers; ++i) {
    LocalTensor<half> tensor = queue.AllocTensor<half>();
    queue.FreeTensor(tensor);  // BUG kept_event_ids
  }
}
template <bool broken>
void kept_event_id_by_hand(const Arguments&) {
  TPipe pipe;
  const event_t event = broken ? EVENT_ID0 : EVENT_ID3;
  SetFlag<HardEvent::M_MTE1>(event);  // BUG kept_event_id_by_hand
  WaitFlag<HardEvent::M_MTE1>(event);
}

}  // namespace

#define QUEUE_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIV_ONLY, AddOne, Bug::bug, Bug::kNone)
QUEUE_BUG(missing_enque, kNoEnQue)
QUEUE_BUG(missing_deque, kNoDeQue)
QUEUE_BUG(double_free, kFreeTwice)
QUEUE_BUG(free_before_use, kFreeEarly)
QUEUE_BUG(missing_free_tensor, kNoFree)
QUEUE_BUG(foreign_tensor, kForeign)
QUEUE_BUG(enque_before_write, kEnQueEarly)
QUEUE_BUG(enque_twice, kEnQueTwice)
QUEUE_BUG(deque_twice, kDeQueTwice)
TWINS(alloc_beyond_buffers, KERNEL_TYPE_AIV_ONLY)
TWINS(queue_too_shallow, KERNEL_TYPE_AIV_ONLY)
TWINS(event_ids_used_up, KERNEL_TYPE_AIV_ONLY)
TWINS(too_many_buffers, KERNEL_TYPE_AIV_ONLY)
TWINS(over_allocation_ub, KERNEL_TYPE_AIV_ONLY)
TWINS(over_allocation_l1, KERNEL_TYPE_AIC_ONLY)
TWINS(over_allocation_l0a, KERNEL_TYPE_AIC_ONLY)
TWINS(l1_reserve, KERNEL_TYPE_AIC_ONLY)
TWINS(kept_event_ids, KERNEL_TYPE_AIC_ONLY)
TWINS(kept_event_id_by_hand, KERNEL_TYPE_AIC_ONLY)
TWINS(over_allocation_l0c, KERNEL_TYPE_AIC_ONLY)
