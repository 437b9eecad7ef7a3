// What the compiler itself offers beside the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "common.h"
#include "system.h"

constexpr bool likely(bool condition) { return condition; }
constexpr bool unlikely(bool condition) { return condition; }

// For any number of numbers, so that everybody else's min and max fit better where they are visible, too.
template <class... Numbers>
constexpr std::common_type_t<Numbers...> min(Numbers... numbers) {
  return std::min({static_cast<std::common_type_t<Numbers...>>(numbers)...});
}
template <class... Numbers>
constexpr std::common_type_t<Numbers...> max(Numbers... numbers) {
  return std::max({static_cast<std::common_type_t<Numbers...>>(numbers)...});
}

inline int64_t clz(uint64_t value) { return AscendC::ScalarCountLeadingZero(value); }

// Fetches a kernel's next instructions, of which there is no cache here.
#define PRELOAD(...)

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
