// Pieces of rows through two buffers of local memory: while the rows of one are stored, those of the next are loaded.
#pragma once

#include "paged_rows.h"

namespace npufa {

// Mover has Load(buffer, job) and Store(buffer, job).
template <class Mover, class Job>
class RowPipeline {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe) {
    pipe.InitBuffer(memory_, static_cast<uint32_t>(BUFFERS * ROW_BUFFER_BYTES));
    for (int32_t buffer = 0; buffer < BUFFERS; ++buffer) AscendC::SetFlag<AscendC::HardEvent::MTE3_MTE2>(buffer);
  }

  __aicore__ inline void Move(Mover& mover, const Job& job) {
    AscendC::WaitFlag<AscendC::HardEvent::MTE3_MTE2>(turn_);
    mover.Load(Buffer(turn_), job);
    AscendC::SetFlag<AscendC::HardEvent::MTE2_MTE3>(turn_);
    Finish(mover);
    job_ = job;
    pending_ = true;
    turn_ ^= 1;
  }

  // Stores what has been loaded.
  __aicore__ inline void Finish(Mover& mover) {
    if (!pending_) return;
    const int32_t buffer = pendingBuffer_;
    AscendC::WaitFlag<AscendC::HardEvent::MTE2_MTE3>(buffer);
    mover.Store(Buffer(buffer), job_);
    AscendC::SetFlag<AscendC::HardEvent::MTE3_MTE2>(buffer);
    pendingBuffer_ ^= 1;
    pending_ = false;
  }

  __aicore__ inline void End(Mover& mover) {
    Finish(mover);
    for (int32_t buffer = 0; buffer < BUFFERS; ++buffer) AscendC::WaitFlag<AscendC::HardEvent::MTE3_MTE2>(buffer);
  }

 private:
  static constexpr int32_t BUFFERS = 2;

  __aicore__ inline PagedRows::Bytes Buffer(int32_t buffer) {
    return memory_.Get<int8_t>()[static_cast<uint32_t>(buffer * ROW_BUFFER_BYTES)];
  }

  AscendC::TBuf<AscendC::TPosition::VECCALC> memory_;
  Job job_;
  int32_t turn_ = 0;
  int32_t pendingBuffer_ = 0;
  bool pending_ = false;
};

}  // namespace npufa
