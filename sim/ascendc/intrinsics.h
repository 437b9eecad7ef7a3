// What the compiler itself offers beside the library.
#pragma once

#include "common.h"
#include "system.h"

constexpr bool likely(bool condition) { return condition; }
constexpr bool unlikely(bool condition) { return condition; }

inline void pipe_barrier(pipe_t pipe, npufa_sim::Site site = npufa_sim::Site::Here()) {
  if (pipe == PIPE_ALL) npufa_sim::PipeBarrierAll(site);
  else npufa_sim::PipeBarrier(AscendC::PipeOf(pipe), site);
}
inline void set_flag(pipe_t src, pipe_t dst, int id, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::SetFlag(AscendC::PipeOf(src), AscendC::PipeOf(dst), id, site);
}
inline void wait_flag(pipe_t src, pipe_t dst, int id, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::WaitFlag(AscendC::PipeOf(src), AscendC::PipeOf(dst), id, site);
}
inline int64_t get_block_idx() { return npufa_sim::GroupIndex(); }
inline int64_t get_block_num() { return npufa_sim::BlockCount(); }
inline int64_t get_subblockid() { return npufa_sim::SubBlockIndex(); }
inline int64_t get_subblockdim() { return npufa_sim::SubBlockCount(); }
