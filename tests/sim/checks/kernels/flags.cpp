// Misuse of event flags within a core: z = x + 1 of two tiles of 128 floats.
#include "checks.h"

namespace {

constexpr uint32_t kCount = 256, kTile = 128;

enum class Bug { kNone, kSetTwice, kLeftSet, kNoSet, kWrongId, kWrongPair, kIdRange, kSetEarly, kWaitTwice, kSharedId };

template <Bug bug>
void AddOne(const Arguments& gm) {
  TPipe pipe;
  const LocalTensor<float> tiles[] = {Buffer<float>(pipe, kTile), Buffer<float>(pipe, kTile)};
  for (int32_t i = 0; i < 2; ++i) {
    const int32_t id = bug == Bug::kSharedId ? 0 : bug == Bug::kIdRange ? 7 + i : i;
    if constexpr (bug == Bug::kSetEarly) SetFlag<HardEvent::MTE2_V>(id);
    DataCopy(tiles[i], Gm<float>(gm.x)[i * kTile], kTile);
    if constexpr (bug == Bug::kSetTwice) SetFlag<HardEvent::MTE2_V>(id);
    if constexpr (bug != Bug::kNoSet && bug != Bug::kSetEarly) {
      SetFlag<HardEvent::MTE2_V>(id);  // BUG flag_set_twice event_id_reuse event_id_range
    }
  }
  for (int32_t i = 0; i < 2; ++i) {
    const int32_t id = bug == Bug::kWrongId ? i + 1 : bug == Bug::kSharedId ? 0 : i;
    if constexpr (bug == Bug::kWrongPair) WaitFlag<HardEvent::MTE2_MTE3>(id);  // BUG wait_for_wrong_pipes
    else WaitFlag<HardEvent::MTE2_V>(id);                                      // BUG wait_without_set wait_for_wrong_id
    if constexpr (bug == Bug::kWaitTwice) WaitFlag<HardEvent::MTE2_V>(id);     // BUG wait_twice
    Adds(tiles[i], tiles[i], 1.0f, kTile);                                     // BUG flag_set_too_early
    SetFlag<HardEvent::V_MTE3>(i);                                             // BUG flag_left_set
    if constexpr (bug != Bug::kLeftSet) WaitFlag<HardEvent::V_MTE3>(i);
    else PipeBarrier<PIPE_ALL>();
    DataCopy(Gm<float>(gm.z)[i * kTile], tiles[i], kTile);
  }
}

}  // namespace

#define FLAG_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIV_ONLY, AddOne, Bug::bug, Bug::kNone)
FLAG_BUG(flag_set_twice, kSetTwice)
FLAG_BUG(event_id_reuse, kSharedId)
FLAG_BUG(event_id_range, kIdRange)
FLAG_BUG(flag_left_set, kLeftSet)
FLAG_BUG(flag_set_too_early, kSetEarly)
FLAG_BUG(wait_without_set, kNoSet)
FLAG_BUG(wait_for_wrong_id, kWrongId)
FLAG_BUG(wait_for_wrong_pipes, kWrongPair)
FLAG_BUG(wait_twice, kWaitTwice)
