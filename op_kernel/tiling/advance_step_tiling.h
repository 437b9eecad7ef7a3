// What the host tells the advance step kernel about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

// Requests that go to one core together: 64 int64 fill a line of 512 bytes, and no two cores write to one line.
constexpr int64_t ADVANCE_UNIT_REQUESTS = 64;
// Entries that the local memory holds; a request must fit.
constexpr int64_t ADVANCE_TILE_ENTRIES = 1792;

struct AdvanceStepTiling {
  int64_t requests;
  int64_t queries;      // requests before this one are alive
  int64_t width;        // entries per request: 1, and with speculation the proposed tokens
  int64_t speculative;  // 0 or 1
  int64_t blockSize;
  int64_t tableColumns;
  int64_t reach;  // positions that the table covers
  int64_t tileRequests;
};

}  // namespace npufa
