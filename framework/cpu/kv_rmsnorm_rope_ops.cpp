// npu_kv_rmsnorm_rope_cache on the CPU (SPEC section 9b). Arithmetic is float32.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/in_place.h"
#include "ops/kv_rmsnorm_rope.h"
#include "paged_rows_move.h"

namespace npufa::cpu {

namespace {

using Call = KvRmsnormRopeCall<std::int64_t>;

// The slot of every token, negative where it has none.
std::vector<std::int64_t> Slots(const Call& call, const at::Tensor& given) {
  const at::Tensor index = given.contiguous();
  const std::int64_t* entries = index.const_data_ptr<std::int64_t>();
  const std::int64_t block_size = call.norm.block_size, blocks = (call.sequence_tokens + block_size - 1) / block_size;
  const std::int64_t capacity = block_size * (call.index_in_sequence ? 1 : call.norm.blocks);
  std::vector<std::int64_t> slots(call.tokens);
  for (std::int64_t token = 0; token < call.tokens; ++token) {
    const std::int64_t sequence = token / call.sequence_tokens, within = token % call.sequence_tokens;
    std::int64_t slot = entries[call.index_per_block ? sequence * blocks + within / block_size : token];
    if (slot >= capacity) {
      Fail(call.op, "index", "leads beyond the cache for token " + std::to_string(token), slot,
           "0.." + std::to_string(capacity - 1) + ", or a negative index for a token that is not stored");
    }
    if (slot >= 0 && call.index_per_block) slot = slot / block_size * block_size + within % block_size;
    if (slot >= 0 && call.index_in_sequence) slot += sequence * block_size;
    slots[token] = slot;
  }
  return slots;
}

void Normalise(const float* x, const float* gamma, std::int64_t columns, double epsilon, float* y) {
  float squares = 0.0F;
  for (std::int64_t c = 0; c < columns; ++c) squares += x[c] * x[c];
  const float root = std::sqrt(squares / static_cast<float>(columns) + static_cast<float>(epsilon));
  for (std::int64_t c = 0; c < columns; ++c) y[c] = x[c] / root * gamma[c];
}

// Pairs of neighbours, which leave as the two halves.
void Rotate(const float* x, const float* cosines, const float* sines, std::int64_t columns, float* y) {
  const std::int64_t half = columns / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    y[i] = x[2 * i] * cosines[i] - x[2 * i + 1] * sines[i];
    y[i + half] = x[2 * i + 1] * cosines[i + half] + x[2 * i] * sines[i + half];
  }
}

// Rows as the cache stores them: in its type, quantised if there is a scale.
at::Tensor Stored(const at::Tensor& rows, const at::Tensor& scale, const at::Tensor& offset, at::ScalarType type) {
  if (!scale.defined()) return rows.to(type);
  const at::Tensor scaled = rows * scale;
  return (offset.defined() ? scaled + offset : scaled).round().clamp(-128, 127).to(type);
}

struct Rows {
  at::Tensor key, value;  // (tokens, columns) of float32
};

// Of k_cache and ckv_cache, before they are rounded.
Rows Compute(const Arguments& a, const Call& call) {
  const auto floats = [&](const char* name) { return a.Tensor(name).to(at::kFloat).contiguous(); };
  const at::Tensor kv = floats("kv"), gamma = floats("gamma"), cosines = floats("cos"), sines = floats("sin");
  const std::int64_t norm = call.norm_columns, rope = call.rope_columns, width = call.kv.sizes[3];
  const Rows rows = {
      at::empty({call.tokens, call.rope.row}, at::kFloat),
      call.v ? floats("v").view({call.tokens, call.norm.row}) : at::empty({call.tokens, call.norm.row}, at::kFloat)};
  at::parallel_for(0, call.tokens, at::internal::GRAIN_SIZE / width + 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> normalised(norm);
    for (std::int64_t token = begin; token < end; ++token) {
      const float* row = kv.const_data_ptr<float>() + token * width;
      float* key = rows.key.mutable_data_ptr<float>() + token * call.rope.row;
      float* values = call.v ? normalised.data() : rows.value.mutable_data_ptr<float>() + token * norm;
      Normalise(row, gamma.const_data_ptr<float>(), norm, call.epsilon, values);
      Rotate(call.v ? values : row + norm, cosines.const_data_ptr<float>() + token * rope,
             sines.const_data_ptr<float>() + token * rope, rope, key);
      if (call.v) std::copy(values + rope, values + norm, key + rope);
    }
  });
  return rows;
}

void KvRmsnormRope(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const Arguments a(op, *stack);
  a.RequireOneDevice("kv", {});
  RequireNoLatentTypes(a);
  const Call call = ReadKvRmsnormRope<std::int64_t>(a);
  const std::vector<std::int64_t> slots = Slots(call, a.Tensor("index"));
  const Rows computed = Compute(a, call);
  InPlace caches;
  const auto store = [&](const LatentNames& names, const at::Tensor& rows, const PagedRows<std::int64_t>& paged) {
    const CacheMemory cache = caches.Cache(a.Tensor(names.cache));
    const at::Tensor stored =
        Stored(rows, a.OptionalTensor(names.scale), a.OptionalTensor(names.offset), cache.tensor.scalar_type());
    const PagedRowsMove move(stored, cache, paged);
    for (std::int64_t token = 0; token < call.tokens; ++token) {
      if (slots[token] >= 0) move.Store(token, slots[token]);
    }
  };
  store(kRopeNames, computed.key, call.rope);
  store(kNormNames, computed.value, call.norm);
  caches.Finish();
  LatentRows rows = MakeLatentRows(a, call.returns_rows);
  if (call.returns_rows) {
    rows.rope.copy_(computed.key.view(rows.rope.sizes()));
    rows.norm.copy_(computed.value.view(rows.norm.sizes()));
  }
  torch::jit::drop(*stack, op.schema().arguments().size());
  stack->emplace_back(rows.rope);
  stack->emplace_back(rows.norm);
}

}  // namespace

TORCH_LIBRARY_IMPL(npufa, CPU, m) {
  m.impl("npu_kv_rmsnorm_rope_cache_v2", torch::CppFunction::makeFromBoxedFunction<&KvRmsnormRope>());
}

}  // namespace npufa::cpu
