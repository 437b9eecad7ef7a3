// TBufPool: a part of a memory that hands out buffers again and again.
#pragma once

#include "pipe.h"

// What a pool of a kernel's own has in common with TBufPool.
#define EXTERN_IMPL_BUFPOOL(EXT_BUFPOOL, POSITION, BUFID_SIZE)                                                        \
 public:                                                                                                              \
  static constexpr AscendC::TPosition poolPos = POSITION;                                                             \
  static constexpr bool isTbufPool = true;                                                                            \
  void Init() { count_ = 0; }                                                                                         \
  void Reset(npufa_sim::Site site = npufa_sim::Site::Here()) {                                                        \
    for (int i = 0; i < count_; ++i) GetTPipePtr()->WaitUntilFree(buffers_[i], site);                                 \
    count_ = 0;                                                                                                       \
    address_ = start_;                                                                                                \
  }                                                                                                                   \
  AscendC::TBufHandle GetBufHandle(uint8_t index) { return reinterpret_cast<AscendC::TBufHandle>(buffers_ + index); } \
  uint32_t GetCurAddr() const { return address_; }                                                                    \
  void SetCurAddr(uint32_t address) { address_ = address; }                                                           \
  uint8_t GetCurBufSize() const { return static_cast<uint8_t>(count_); }                                              \
  void SetCurBufSize(uint8_t count) { count_ = count; }                                                               \
  uint32_t Start() const { return start_; }                                                                           \
  void Take(uint32_t address, uint32_t len) {                                                                         \
    start_ = address_ = address;                                                                                      \
    end_ = address + len;                                                                                             \
    count_ = 0;                                                                                                       \
  }                                                                                                                   \
                                                                                                                      \
 private:                                                                                                             \
  AscendC::TBufType buffers_[BUFID_SIZE];                                                                             \
  int count_ = 0;                                                                                                     \
  uint32_t start_ = 0, address_ = 0, end_ = 0

namespace AscendC {

template <TPosition pos, uint32_t bufIDSize = 64>
class TBufPool {
 public:
  template <class Queue>
  bool InitBuffer(Queue& queue, uint8_t num, uint32_t len, npufa_sim::Site site = npufa_sim::Site::Here()) {
    const uint32_t bytes = (len + 31) / 32 * 32;
    const uint32_t address = Cut(num * bytes, num, site);
    queue.InitStartBufHandle(GetBufHandle(count_), num, bytes);
    for (uint32_t i = 0; i < num; ++i) queue.InitBufHandle(this, i, nullptr, address + i * bytes, bytes);
    count_ += num;
    return true;
  }
  template <class Buffer, class = decltype(Buffer::is_plain_buffer)>
  bool InitBuffer(Buffer& buffer, uint32_t len, npufa_sim::Site site = npufa_sim::Site::Here()) {
    const uint32_t bytes = (len + 31) / 32 * 32;
    buffer.Set(Cut(bytes, 0, site), bytes);
    return true;
  }
  template <class Pool>
  bool InitBufPool(Pool& pool, uint32_t len, npufa_sim::Site site = npufa_sim::Site::Here()) {
    const uint32_t bytes = (len + 31) / 32 * 32;
    pool.Take(Cut(bytes, 0, site), bytes);
    return true;
  }
  template <class Pool, class Other>
  bool InitBufPool(Pool& pool, uint32_t len, Other& shared, npufa_sim::Site = npufa_sim::Site::Here()) {
    pool.Take(shared.Start(), (len + 31) / 32 * 32);
    return true;
  }

 private:
  uint32_t Cut(uint32_t bytes, int handles, npufa_sim::Site site) {
    if (address_ + bytes > end_ || count_ + handles > static_cast<int>(bufIDSize)) {
      npufa_sim::Fault("over-allocation", site, "InitBuffer", "the pool has no room for the buffer",
                       "give the pool more bytes in InitBufPool, or Reset() it first");
    }
    const uint32_t address = address_;
    address_ += bytes;
    return address;
  }

  EXTERN_IMPL_BUFPOOL(TBufPool, pos, bufIDSize);
};

}  // namespace AscendC
