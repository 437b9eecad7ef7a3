#include "forward_tasks.h"

namespace npufa::cpu {

namespace {

constexpr std::int64_t kChunkTiles = 8;   // tiles of rows that share one packing of a key tile
constexpr std::int64_t kSplitKeys = 512;  // smallest share of keys worth a task of its own

// Rows of a task: as many tiles in one as in the others, nearly.
std::int64_t ChunkRows(std::int64_t rows, std::int64_t tile_rows) {
  const std::int64_t tiles = (rows + tile_rows - 1) / tile_rows;
  const std::int64_t chunks = (tiles + kChunkTiles - 1) / kChunkTiles;
  return (tiles + chunks - 1) / chunks * tile_rows;
}

}  // namespace

// Tasks of whole heads where a sequence is long, the rows of all heads of a group together where it is short.
std::vector<ForwardTask> MakeTasks(const Problem& p, std::int64_t tile_rows) {
  std::vector<ForwardTask> tasks;
  for (const Sequence& s : p.sequences) {
    if (s.q_len == 0) continue;
    const bool by_head = s.q_len >= tile_rows;
    const std::int64_t span = by_head ? s.q_len : s.q_len * p.Group();
    const std::int64_t chunk = ChunkRows(span, tile_rows);
    for (std::int64_t head = 0; head < p.kv_heads; ++head) {
      for (std::int64_t base = 0; base < s.q_len * p.Group(); base += span) {
        for (std::int64_t r = 0; r < span; r += chunk) {
          ForwardTask task{{&s, head, base + r, base + std::min(span, r + chunk)}, 0, 0};
          const Window keys = KeyRange(task.rows);
          task.key_begin = keys.begin;
          task.key_end = std::max(keys.begin, keys.end);
          tasks.push_back(task);
        }
      }
    }
  }
  return tasks;
}

std::int64_t Work(const Problem& p, const ForwardTask& t) {
  return t.rows.Count() * (t.key_end - t.key_begin) * (p.head_dim + p.rope_dim + p.value_dim);
}

std::vector<ForwardTask> SplitKeys(const Problem& p, std::vector<ForwardTask> tasks, int threads,
                                   std::int64_t* partial_rows) {
  constexpr std::int64_t kTasksPerThread = 2;
  *partial_rows = 0;
  const auto count = static_cast<std::int64_t>(tasks.size());
  if (threads == 1 || count == 0 || count >= threads) return tasks;
  const std::int64_t wanted = (threads * kTasksPerThread + count - 1) / count;
  std::vector<ForwardTask> parts;
  for (const ForwardTask& t : tasks) {
    const std::int64_t keys = t.key_end - t.key_begin;
    const std::int64_t shares = std::clamp<std::int64_t>(keys / kSplitKeys, 1, wanted);
    if (p.batch_invariant ? !t.HasPieces() : shares == 1) {
      parts.push_back(t);
      continue;
    }
    const std::int64_t share = (keys + shares - 1) / shares;
    for (ForwardTask part = t; part.key_begin < t.key_end; part.key_begin = part.key_end) {
      part.key_end = p.batch_invariant ? t.PieceEnd(part.key_begin) : std::min(t.key_end, part.key_begin + share);
      part.partial = *partial_rows;
      *partial_rows += t.rows.Count();
      parts.push_back(part);
    }
  }
  return parts;
}

}  // namespace npufa::cpu
