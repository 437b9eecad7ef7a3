#include "backward_tasks.h"

namespace npufa::cpu {

Pieces InvariantPieces(std::int64_t keys) {
  constexpr std::int64_t kLeastTiles = 4, kMost = 8;
  return {keys, std::clamp<std::int64_t>(Pieces::Tiles(keys) / kLeastTiles, 1, kMost)};
}

std::vector<BackwardTask> MakeTasks(const Problem& p, const BackwardOutputs& out, int threads) {
  std::vector<BackwardTask> tasks;
  std::int64_t longest = 0;
  for (const Sequence& s : p.sequences) longest = std::max(longest, s.kv_len);
  for (std::int64_t head = 0; head < p.kv_heads; ++head) {
    if (out.bias_shared_by_batch) {
      BackwardTask task{{}, head, 0, longest};
      for (const Sequence& s : p.sequences) task.sequences.push_back(&s);
      tasks.push_back(std::move(task));
      continue;
    }
    for (const Sequence& s : p.sequences) tasks.push_back({{&s}, head, 0, s.kv_len});
  }
  // Bias gradients of different keys may fall on one element: their tasks are not divided.
  const auto count = static_cast<std::int64_t>(tasks.size());
  if (out.grad_bias || count == 0 || count >= threads) return tasks;
  const std::int64_t wanted = (threads + count - 1) / count;
  std::vector<BackwardTask> parts;
  for (const BackwardTask& t : tasks) {
    const Pieces even{t.key_end, std::clamp<std::int64_t>(Pieces::Tiles(t.key_end), 1, wanted)};
    const Pieces pieces = p.batch_invariant ? InvariantPieces(t.key_end) : even;
    for (std::int64_t i = 0; i < pieces.count; ++i) {
      BackwardTask part = t;
      part.key_begin = pieces.Begin(i);
      part.key_end = pieces.End(i);
      part.part = i;
      part.parts = pieces.count;
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

}  // namespace npufa::cpu
