#include "problem_builder.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "describe.h"

namespace npufa::cpu {

namespace {

// A tensor whose last axis is contiguous: itself, or a copy.
at::Tensor ContiguousRows(const at::Tensor& t, BuiltProblem* built) {
  if (t.dim() == 0 || t.size(-1) <= 1 || t.stride(-1) == 1) return t;
  built->owned.push_back(t.contiguous());
  return built->owned.back();
}

at::Tensor Float32(const at::Tensor& t, BuiltProblem* built) {
  built->owned.push_back(t.to(at::kFloat).contiguous());
  return built->owned.back();
}

Strided Bytes(const at::Tensor& t, std::int64_t batch, std::int64_t head, std::int64_t token) {
  const std::int64_t size = t.element_size();
  return {static_cast<char*>(t.data_ptr()), batch * size, head * size, token * size};
}

Strided PagedView(const at::Tensor& t, CacheLayout layout, std::int64_t kv_heads) {
  switch (layout) {
    case CacheLayout::kBlockTokenH: return Bytes(t, t.stride(0), t.size(2) / kv_heads * t.stride(2), t.stride(1));
    case CacheLayout::kBlockTokenHead: return Bytes(t, t.stride(0), t.stride(2), t.stride(1));
    case CacheLayout::kNz: return Bytes(t, t.stride(0), t.stride(1), t.stride(3));
    default: return Bytes(t, t.stride(0), t.stride(1), t.stride(2));
  }
}

RowSource Source(const at::Tensor& tensor, const Spec& spec, BuiltProblem* built) {
  RowSource source;
  const at::Tensor t = ContiguousRows(tensor, built);
  source.rows = spec.cache == CacheLayout::kNone ? View(t, spec.q_layout, spec.kv_heads)
                                                 : PagedView(t, spec.cache, spec.kv_heads);
  if (spec.cache == CacheLayout::kNz) source.piece_distance = t.stride(2) * t.element_size();
  return source;
}

void AddPages(const at::Tensor& block_table, const Spec& spec, RowSource* source) {
  source->block_table = block_table.const_data_ptr<std::int32_t>();
  source->table_stride = block_table.stride(0);
  source->block_size = spec.block_size;
}

std::int64_t LengthOf(const std::vector<std::int64_t>& lengths, std::int64_t b, std::int64_t full) {
  return lengths.empty() ? full : lengths.size() == 1 ? lengths[0] : lengths[b];
}

std::int64_t PaddingOf(const Arguments& a, const char* name) {
  const at::Tensor t = a.OptionalTensor(name);
  return std::max<std::int64_t>(0, t.reshape(-1).select(0, 0).item<std::int64_t>());
}

// Sequences of a padded batch.
void AddPaddedSequences(const Arguments& a, const Call& call, const Spec& spec, BuiltProblem* built) {
  const std::int64_t q_padding = spec.left_padded_q ? PaddingOf(a, "query_padding_size") : 0;
  const std::int64_t kv_padding = spec.left_padded_kv ? PaddingOf(a, "kv_padding_size") : 0;
  for (std::int64_t b = 0; b < spec.batch; ++b) {
    Sequence s;
    s.batch = b;
    s.prefix_len = spec.prefix_tokens;
    s.q_len = LengthOf(spec.q_lens, b, spec.q_tokens);
    s.kv_len = LengthOf(spec.kv_lens, b, spec.kv_tokens);
    if (spec.left_padded_q) s.q_first = spec.q_tokens - q_padding - s.q_len;
    if (spec.left_padded_kv) s.kv_first = spec.kv_tokens - kv_padding - s.kv_len;
    if (s.q_first < 0 || spec.q_tokens < q_padding) s.q_first = s.q_len = 0;
    if (s.kv_first < 0 || spec.kv_tokens < kv_padding) s.kv_first = s.kv_len = 0;
    s.kv_len += s.prefix_len;
    s.mask_row = s.q_first;
    s.mask_column = s.kv_first;
    const std::int64_t prefix = call.prefix ? (*call.prefix)[b] : 0;
    s.band = BandOf(spec.rule, s.q_len, s.kv_len, prefix, s.q_first - s.kv_first, false);
    s.dropout_first = b * spec.heads * spec.q_tokens * spec.kv_tokens;
    s.dropout_rows = spec.q_tokens;
    s.dropout_columns = spec.kv_tokens;
    s.statistics_first = b * spec.heads * spec.q_tokens;
    s.statistics_head = spec.q_tokens;
    s.statistics_row = 1;
    built->partial_rows |= s.q_len < spec.q_tokens;
    built->problem.sequences.push_back(s);
  }
}

// Sequences of a packed batch: tokens one behind the other.
void AddPackedSequences(const Call& call, const Spec& spec, BuiltProblem* built) {
  std::int64_t q_first = 0, kv_first = 0, scores = 0, last = 0;
  for (std::int64_t b = 0; b < spec.batch; ++b) {
    if (spec.q_lens[b] > 0) last = b;
  }
  for (std::int64_t b = 0; b < spec.batch; ++b) {
    Sequence s;
    s.batch = b;
    s.q_len = spec.q_lens[b];
    s.kv_len = LengthOf(spec.kv_lens, b, 0);
    s.q_first = q_first;
    s.kv_first = spec.cache == CacheLayout::kNone ? kv_first : 0;
    s.mask_row = call.pse_layout == kPseOfTokens ? q_first : 0;
    const bool edge = spec.rule.mode == kVarlenRightDown ? b == last : b == 0;
    s.band = BandOf(spec.rule, s.q_len, s.kv_len, call.prefix ? (*call.prefix)[b] : 0, 0, edge);
    s.dropout_first = scores;
    s.dropout_rows = s.q_len;
    s.dropout_columns = s.kv_len;
    if (call.softmax_layout == "TND") {
      s.statistics_first = q_first * spec.heads;
      s.statistics_head = 1;
      s.statistics_row = spec.heads;
    } else {
      s.statistics_first = q_first * spec.heads;
      s.statistics_head = s.q_len;
      s.statistics_row = 1;
    }
    scores += spec.heads * s.q_len * s.kv_len;
    q_first += s.q_len;
    kv_first += s.kv_len;
    built->problem.sequences.push_back(s);
  }
  built->partial_rows = q_first < spec.q_tokens;
}

void AddSequences(const Arguments& a, const Call& call, const Spec& spec, BuiltProblem* built) {
  if (spec.IsPackedBatch()) {
    AddPackedSequences(call, spec, built);
  } else {
    AddPaddedSequences(a, call, spec, built);
  }
}

// Only blocks that a query row may look into are ever read, so only their ids must be valid.
void CheckBlockIds(const char* op, const std::vector<Sequence>& sequences, const at::Tensor& table, const Spec& spec) {
  const auto* ids = table.const_data_ptr<std::int32_t>();
  for (const Sequence& s : sequences) {
    if (s.q_len == 0) continue;
    const std::int64_t begin = s.band.Row(0, s.kv_len).begin;
    const std::int64_t end = s.band.Row(s.q_len - 1, s.kv_len).end;
    for (std::int64_t block = begin / spec.block_size; block * spec.block_size < end; ++block) {
      const std::int64_t id = ids[s.batch * table.stride(0) + block];
      if (id < 0 || id >= spec.num_blocks) {
        const std::string at = "[" + std::to_string(s.batch) + ", " + std::to_string(block) + "]";
        Fail(op, "block_table", "has a block id out of range at " + at, id,
             "0.." + std::to_string(spec.num_blocks - 1));
      }
    }
  }
}

void AddMask(const at::Tensor& tensor, const Spec& spec, bool decode, BuiltProblem* built) {
  const at::Tensor t = ContiguousRows(tensor, built);
  const auto stride = [&](std::int64_t axis) { return t.size(axis) == 1 ? 0 : t.stride(axis); };
  Mask& mask = built->problem.mask;
  mask.data = static_cast<const std::uint8_t*>(t.const_data_ptr());
  if (decode && t.dim() <= 2) {
    mask.batch = t.dim() == 2 ? stride(0) : 0;
    return;
  }
  mask.row = stride(-2);
  if (t.dim() >= 3 && !spec.IsPackedBatch()) mask.batch = stride(0);
  if (t.dim() == 4) mask.head = stride(1);
}

void AddBias(const at::Tensor& tensor, const Spec& spec, BuiltProblem* built) {
  if (!tensor.defined()) return;
  Bias& bias = built->problem.bias;
  const at::Tensor t = ContiguousRows(tensor, built);
  const std::int64_t size = t.element_size();
  const auto stride = [&](std::int64_t axis) { return t.size(axis) == 1 ? 0 : t.stride(axis) * size; };
  bias.dtype = FromTorch(t.scalar_type());
  bias.data = static_cast<const char*>(t.const_data_ptr());
  bias.scaled = spec.pse_type == 1;
  if (spec.pse == PseForm::kSlopes) {
    bias.kind = spec.pse_type == 2 ? Bias::Kind::kLinear : Bias::Kind::kSquareRoot;
    bias.from_end = spec.pse_from_end;
    bias.head = t.stride(-1) * size;
    bias.batch = t.dim() == 2 ? stride(0) : 0;
    return;
  }
  bias.kind = spec.pse == PseForm::kCompressed ? Bias::Kind::kCompressed : Bias::Kind::kMatrix;
  bias.batch = stride(0);
  bias.head = stride(1);
  bias.row = stride(2);
  bias.width = t.size(3);
  for (const Sequence& s : built->problem.sequences) bias.rows_total = std::max(bias.rows_total, s.q_len);
  if (!spec.IsPackedBatch()) bias.rows_total = spec.q_tokens;
}

void AddBasics(const Arguments& a, const Call& call, const Spec& spec, BuiltProblem* built) {
  Problem& p = built->problem;
  p.dtype = spec.dtype;
  p.rope_dtype = spec.float_dtype;
  p.kv_dtype = spec.kv_dtype;
  p.out_dtype = spec.out_dtype;
  p.int4_cache = spec.int4_cache;
  p.heads = spec.heads;
  p.kv_heads = spec.kv_heads;
  p.head_dim = spec.head_dim;
  p.value_dim = spec.value_dim;
  p.rope_dim = spec.rope_dim;
  p.scale = static_cast<float>(call.scale);
  p.softcap = static_cast<float>(call.softcap);
  p.batch_invariant = call.batch_invariant;
  AddSequences(a, call, spec, built);
  p.query = View(ContiguousRows(a.Tensor("query"), built), spec.q_layout, spec.heads);
  p.key = Source(a.Tensor("key"), spec, built);
  p.value = Source(a.Tensor("value"), spec, built);
  if (spec.rope_dim > 0) {
    p.query_rope = View(ContiguousRows(a.Tensor("query_rope"), built), spec.q_layout, spec.heads);
    p.key_rope = Source(a.Tensor("key_rope"), spec, built);
  }
  if (spec.rule.dense_mask) AddMask(a.Tensor("atten_mask"), spec, IsDecode(spec, call.kind), built);
  AddBias(a.OptionalTensor(call.names.pse), spec, built);
  if (call.sink) p.sink = Float32(a.Tensor(call.names.sink), built).const_data_ptr<float>();
}

// float32, or the bits of one in the low half of a 64-bit integer.
float ReadScale(const at::Tensor& t) {
  if (t.element_size() == sizeof(float)) return t.reshape(-1).select(0, 0).item<float>();
  std::uint32_t bits;
  std::memcpy(&bits, t.contiguous().const_data_ptr(), sizeof bits);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Scales of an int8 query, key and value.
void AddQueryScales(const Arguments& a, const ArgumentNames& names, const Spec& spec, BuiltProblem* built) {
  Problem& p = built->problem;
  const at::Tensor scale = Float32(a.Tensor("dequant_scale_query"), built).unsqueeze(-1);
  p.query_scale = View(scale, spec.q_layout == Layout::kBSH ? Layout::kBSND : spec.q_layout, spec.heads);
  p.scale *= ReadScale(a.Tensor(names.key_antiquant_scale));
  p.product_scale = ReadScale(a.Tensor(names.value_antiquant_scale));
}

// One of key and value: strides of a float32 scale tensor of the given axis.
Antiquant AntiquantOf(const at::Tensor& scale, const at::Tensor& offset, ScaleAxis axis, const Spec& spec,
                      std::int64_t channels) {
  Antiquant q;
  q.scale = scale.const_data_ptr<float>();
  q.offset = offset.defined() ? offset.const_data_ptr<float>() : nullptr;
  const std::int64_t width = scale.dim() > 0 ? scale.size(-1) : 1;
  switch (axis) {
    case ScaleAxis::kChannel:
      q.head = channels;
      q.channel = 1;
      break;
    case ScaleAxis::kToken:
      q.batch = width;
      q.token = 1;
      break;
    case ScaleAxis::kHead: q.head = 1; break;
    case ScaleAxis::kTokenHead:
      q.batch = spec.kv_heads * width;
      q.head = width;
      q.token = 1;
      break;
    case ScaleAxis::kTokenPaged:
      q.batch = width;
      q.token = 1;
      q.paged = true;
      break;
    case ScaleAxis::kTokenHeadPaged:
      q.batch = spec.kv_heads * width;
      q.head = width;
      q.token = 1;
      q.paged = true;
      break;
    default: break;
  }
  return q;
}

void AddAntiquant(const Arguments& a, const ArgumentNames& names, const Spec& spec, BuiltProblem* built) {
  Problem& p = built->problem;
  const auto read = [&](const char* name, std::int64_t half) {
    const at::Tensor t = a.OptionalTensor(name);
    if (!t.defined()) return at::Tensor();
    return Float32(half < 0 ? t : t.select(0, half), built);
  };
  if (spec.quant.combined) {
    p.key_antiquant =
        AntiquantOf(read("antiquant_scale", 0), read("antiquant_offset", 0), spec.quant.key_scale, spec, spec.head_dim);
    p.value_antiquant = AntiquantOf(read("antiquant_scale", 1), read("antiquant_offset", 1), spec.quant.value_scale,
                                    spec, spec.value_dim);
    return;
  }
  p.key_antiquant = AntiquantOf(read(names.key_antiquant_scale, -1), read(names.key_antiquant_offset, -1),
                                spec.quant.key_scale, spec, spec.head_dim);
  p.value_antiquant = AntiquantOf(read(names.value_antiquant_scale, -1), read(names.value_antiquant_offset, -1),
                                  spec.quant.value_scale, spec, spec.value_dim);
}

}  // namespace

Executor TorchExecutor() {
  return {at::get_num_threads(), [](int workers, const std::function<void(int)>& body) {
            if (workers == 1) return body(0);
            at::parallel_for(0, workers, 1, [&](std::int64_t begin, std::int64_t end) {
              for (std::int64_t i = begin; i < end; ++i) body(static_cast<int>(i));
            });
          }};
}

Strided View(const at::Tensor& t, Layout layout, std::int64_t heads) {
  const Axes axes = AxesOf(layout);
  const std::int64_t head =
      axes.head >= 0 ? t.stride(axes.head) : t.size(axes.channel) / heads * t.stride(axes.channel);
  return Bytes(t, axes.batch >= 0 ? t.stride(axes.batch) : 0, head, t.stride(axes.token));
}

void CheckBlockIds(const Arguments& a, const Call& call, const Spec& spec) {
  BuiltProblem built;
  AddSequences(a, call, spec, &built);
  CheckBlockIds(a.Op(), built.problem.sequences, a.Tensor("block_table").cpu().contiguous(), spec);
}

BuiltProblem BuildFusion(const Arguments& a, const Call& call, const Spec& spec) {
  BuiltProblem built;
  AddBasics(a, call, spec, &built);
  const auto first = [](const OptionalList<std::int64_t>& list) { return list ? (*list)[0] : 0; };
  built.problem.bias.distance = first(call.kv_start_idx) - first(call.q_start_idx);
  built.problem.dropout.keep_prob = call.keep_prob;
  return built;
}

BuiltProblem BuildInference(const Arguments& a, const Call& call, const Spec& spec) {
  BuiltProblem built;
  AddBasics(a, call, spec, &built);
  Problem& p = built.problem;
  if (spec.cache != CacheLayout::kNone) {
    const at::Tensor table = ContiguousRows(a.Tensor("block_table"), &built);
    for (RowSource* source : {&p.key, &p.value, &p.key_rope}) AddPages(table, spec, source);
    CheckBlockIds(a.Op(), p.sequences, table, spec);
  }
  if (call.key_shared_prefix) {
    p.key.prefix = View(ContiguousRows(a.Tensor("key_shared_prefix"), &built), spec.q_layout, spec.kv_heads);
    p.value.prefix = View(ContiguousRows(a.Tensor("value_shared_prefix"), &built), spec.q_layout, spec.kv_heads);
  }
  if (spec.quant.antiquant) AddAntiquant(a, call.names, spec, &built);
  if (spec.quant.quantised_query) AddQueryScales(a, call.names, spec, &built);
  if (spec.quant.int8_products) {
    p.quantised_products = true;
    p.scale *= ReadScale(a.Tensor(call.names.dequant_scale1));
    p.p_scale = ReadScale(a.Tensor(call.names.quant_scale1));
    p.product_scale = ReadScale(a.Tensor(call.names.dequant_scale2));
  }
  return built;
}

}  // namespace npufa::cpu
