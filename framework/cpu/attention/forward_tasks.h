// How the work of the forward pass is shared out.
#pragma once

#include <algorithm>
#include <vector>

#include "tiles.h"

namespace npufa::cpu {

// Rows of one key/value head against keys [key_begin, key_end).
struct ForwardTask {
  RowRange rows;
  std::int64_t key_begin, key_end;
  std::int64_t partial = -1;  // index of the first partial row, or -1 when the task finishes its rows

  // The end of the piece of keys that begins at `begin`. Batch-invariant results are those of pieces, merged in order:
  // cut at these positions whatever else there is.
  std::int64_t PieceEnd(std::int64_t begin) const {
    constexpr std::int64_t kPieceKeys = 1024;
    return std::min(key_end, (begin / kPieceKeys + 1) * kPieceKeys);
  }
  bool HasPieces() const { return PieceEnd(key_begin) < key_end; }
};

std::vector<ForwardTask> MakeTasks(const Problem& p, std::int64_t tile_rows);

// Splits the keys of every task when there are too few tasks for the threads. Parts of a task stay adjacent.
std::vector<ForwardTask> SplitKeys(const Problem& p, std::vector<ForwardTask> tasks, int threads,
                                   std::int64_t* partial_rows);

// Multiply-adds.
std::int64_t Work(const Problem& p, const ForwardTask& t);

}  // namespace npufa::cpu
