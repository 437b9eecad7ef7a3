// The compiler's functions for the control register. Not in the namespace, as in CANN.
#pragma once

#include "chip/core_api.h"

inline int64_t get_ctrl() { return static_cast<int64_t>(npufa_sim::Control().value); }
// Whoever writes the register answers for all of it.
inline void set_ctrl(uint64_t config) { npufa_sim::Control() = {config, ~uint64_t{0}}; }
inline uint64_t sbitset0(uint64_t x, int64_t idx) { return x & ~(uint64_t{1} << idx); }
inline uint64_t sbitset1(uint64_t x, int64_t idx) { return x | uint64_t{1} << idx; }
