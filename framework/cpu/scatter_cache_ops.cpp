// Writing tokens into paged caches on the CPU (SPEC section 9b).
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <unordered_map>
#include <vector>

#include "arguments.h"
#include "ops/compressed_scatter.h"
#include "ops/in_place.h"
#include "paged_rows_move.h"
#include "registration.h"
#include "scatter_cache.h"

namespace npufa::cpu {

namespace {

using Call = ScatterCall<std::int64_t>;
using Move = std::pair<std::int64_t, std::int64_t>;  // token, slot

// Of several tokens with one slot the last one counts, on any number of threads.
std::vector<Move> Moves(const Call& call, const at::Tensor& mapping) {
  const at::Tensor slots = mapping.to(at::kLong).contiguous();
  const std::int64_t* slot = slots.const_data_ptr<std::int64_t>();
  const std::int64_t capacity = call.sides[0].rows.blocks * call.sides[0].rows.block_size;
  std::unordered_map<std::int64_t, std::size_t> place;
  std::vector<Move> moves;
  moves.reserve(call.tokens);
  for (std::int64_t token = 0; token < call.tokens; ++token) {
    if (slot[token] < 0) continue;
    if (slot[token] >= capacity) {
      Fail(call.op, call.slots_name, "leads beyond the cache for token " + std::to_string(token), slot[token],
           "0.." + std::to_string(capacity - 1) + ", or a negative slot for a token that is not stored");
    }
    const auto [at, is_new] = place.emplace(slot[token], moves.size());
    if (is_new) {
      moves.emplace_back(token, slot[token]);
    } else {
      moves[at->second].first = token;
    }
  }
  return moves;
}

void Scatter(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key", {});
  if (ScatterCompressed(op, stack)) return;
  const Call call = ReadScatter<std::int64_t>(a);
  const std::vector<Move> moves = Moves(call, a.Tensor(call.slots_name));
  InPlace caches;
  for (const ScatterSide<std::int64_t>& side : call.sides) {
    const at::Tensor rows = a.Tensor(side.rows_name).contiguous();
    const CacheMemory cache = caches.Cache(a.Tensor(side.cache_name));
    const PagedRowsMove move(rows, cache, side.rows);
    const std::int64_t row_bytes = side.rows.row * side.rows.element_bytes;
    const std::int64_t grain = at::internal::GRAIN_SIZE / (row_bytes + 1) + 1;
    at::parallel_for(0, static_cast<std::int64_t>(moves.size()), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) move.Store(moves[i].first, moves[i].second);
    });
  }
  caches.Finish();
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) { Register<&Scatter>(m, kScatterOperators); }

}  // namespace npufa::cpu
