// npu_gather_pa_kv_cache on the CPU (SPEC section 9b).
#include "gather_cache.h"

#include <ATen/Parallel.h>
#include <torch/library.h>

#include <vector>

#include "arguments.h"
#include "ops/in_place.h"
#include "paged_rows_move.h"

namespace npufa::cpu {

namespace {

using Call = GatherCall<std::int64_t>;

std::vector<std::int64_t> Numbers(const at::Tensor& t) {
  const at::Tensor wide = t.to(at::kLong).contiguous();
  return {wide.const_data_ptr<std::int64_t>(), wide.const_data_ptr<std::int64_t>() + wide.numel()};
}

std::vector<std::int64_t> Lengths(const Call& call, const Arguments& a) {
  std::vector<std::int64_t> lengths = Numbers(a.Tensor("seq_lens"));
  if (call.cumulative) {
    for (std::size_t i = 0; i + 1 < lengths.size(); ++i) lengths[i] = lengths[i + 1] - lengths[i];
    lengths.pop_back();
  }
  std::int64_t total = 0;
  for (const std::int64_t length : lengths) {
    if (length < 0) Fail(call.op, "seq_lens", "has a negative length", length, "lengths of at least 0");
    total += length;
  }
  if (total > call.tokens) {
    Fail(call.op, "seq_lens", "holds more tokens than key", total, "at most " + std::to_string(call.tokens));
  }
  return lengths;
}

// The slot of every token, -1 where the table has no block of the cache.
std::vector<std::int64_t> Slots(const Call& call, const Arguments& a) {
  const std::vector<std::int64_t> lengths = Lengths(call, a), blocks = Numbers(a.Tensor("block_tables"));
  std::vector<std::int64_t> offsets(call.sequences, 0), slots;
  if (call.seq_offset) offsets = Numbers(a.Tensor("seq_offset"));
  const std::int64_t columns = call.block_tables.Size(1), block_size = call.keys.block_size;
  for (std::int64_t i = 0; i < call.sequences; ++i) {
    if (offsets[i] < 0) Fail(call.op, "seq_offset", "is negative", offsets[i], "a first token of at least 0");
    for (std::int64_t position = offsets[i]; position < offsets[i] + lengths[i]; ++position) {
      const std::int64_t column = position / block_size;
      const std::int64_t block = column < columns ? blocks[i * columns + column] : -1;
      const bool exists = block >= 0 && block < call.keys.blocks;
      slots.push_back(exists ? block * block_size + position % block_size : -1);
    }
  }
  return slots;
}

void Gather(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("key_cache", {});
  const Call call = ReadGather<std::int64_t>(a);
  const std::vector<std::int64_t> slots = Slots(call, a);
  InPlace results;
  const auto gather = [&](const char* name, const char* cache_name, const PagedRows<std::int64_t>& rows) {
    CacheMemory cache = MemoryOf(a.Tensor(cache_name));
    cache.tensor = cache.tensor.contiguous();
    const PagedRowsMove move(results.Dense(a.Tensor(name)), cache, rows);
    const std::int64_t grain = at::internal::GRAIN_SIZE / (rows.row * rows.element_bytes + 1) + 1;
    at::parallel_for(0, static_cast<std::int64_t>(slots.size()), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t token = begin; token < end; ++token) {
        if (slots[token] < 0) {
          move.Clear(token);
        } else {
          move.Load(token, slots[token]);
        }
      }
    });
  };
  gather("key", "key_cache", call.keys);
  gather("value", "value_cache", call.values);
  results.Finish();
  torch::jit::drop(*stack, op.schema().arguments().size());
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  m.impl("npu_gather_pa_kv_cache", torch::CppFunction::makeFromBoxedFunction<&Gather>());
}

}  // namespace npufa::cpu
