// The operators of SPEC section 1. Names, order and defaults are those of torch_npu.
#include <torch/library.h>

#include <string>
#include <string_view>

namespace {

// Arguments that operators share with their variants.
constexpr char kFusionV2[] =
    "Tensor query, Tensor key, Tensor value, int head_num, str input_layout, *, Tensor? pse=None, "
    "Tensor? padding_mask=None, Tensor? atten_mask=None, Tensor? query_rope=None, Tensor? key_rope=None, "
    "float scale=1., float keep_prob=1., int pre_tokens=2147483647, int next_tokens=2147483647, "
    "int inner_precise=0, int[]? prefix=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, "
    "int sparse_mode=0, bool gen_mask_parallel=True, bool sync=False, int pse_type=1, int[]? q_start_idx=None, "
    "int[]? kv_start_idx=None, str softmax_layout=\"\", Tensor? sink=None";
constexpr char kFusionV3[] =
    "Tensor query, Tensor key, Tensor value, int head_num, str input_layout, Tensor? pse=None, "
    "Tensor? padding_mask=None, Tensor? atten_mask=None, float scale=1., float keep_prob=1., "
    "int pre_tockens=2147483647, int next_tockens=2147483647, int inner_precise=0, SymInt[]? prefix=None, "
    "Tensor? actual_seq_qlen=None, Tensor? actual_seq_kvlen=None, int sparse_mode=0, bool gen_mask_parallel=True, "
    "bool sync=False, str softmax_layout=\"\", Tensor? sink=None";
constexpr char kFusionGradV3[] =
    "Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, Tensor? pse=None, "
    "Tensor? padding_mask=None, Tensor? atten_mask=None, Tensor? softmax_max=None, Tensor? softmax_sum=None, "
    "Tensor? softmax_in=None, Tensor? attention_in=None, float scale_value=1., float keep_prob=1., "
    "int pre_tockens=2147483647, int next_tockens=2147483647, int inner_precise=0, Tensor? seed=None, "
    "Tensor? offset=None, SymInt[]? prefix=None, Tensor? actual_seq_qlen=None, Tensor? actual_seq_kvlen=None, "
    "int sparse_mode=0, bool gen_mask_parallel=True, bool sync=False, str softmax_layout=\"\", Tensor? sink=None, "
    "float softcap=0.";
constexpr char kFusedInfer[] =
    "Tensor query, Tensor key, Tensor value, *, Tensor? pse_shift=None, Tensor? atten_mask=None, "
    "SymInt[]? actual_seq_lengths=None, SymInt[]? actual_seq_lengths_kv=None, Tensor? dequant_scale1=None, "
    "Tensor? quant_scale1=None, Tensor? dequant_scale2=None, Tensor? quant_scale2=None, Tensor? quant_offset2=None, "
    "Tensor? antiquant_scale=None, Tensor? antiquant_offset=None, Tensor? key_antiquant_scale=None, "
    "Tensor? key_antiquant_offset=None, Tensor? value_antiquant_scale=None, Tensor? value_antiquant_offset=None, "
    "Tensor? block_table=None, Tensor? query_padding_size=None, Tensor? kv_padding_size=None, "
    "Tensor? key_shared_prefix=None, Tensor? value_shared_prefix=None, SymInt[]? actual_shared_prefix_len=None, "
    "Tensor? query_rope=None, Tensor? key_rope=None, Tensor? key_rope_antiquant_scale=None, int num_heads=1, "
    "float scale=1.0, int pre_tokens=2147483647, int next_tokens=2147483647, str input_layout=\"BSH\", "
    "int num_key_value_heads=0, int sparse_mode=0, int inner_precise=0, int block_size=0, int antiquant_mode=0, "
    "int key_antiquant_mode=0, int value_antiquant_mode=0, bool softmax_lse_flag=False, float softcap=0.";
constexpr char kFusedInferV2[] =
    "Tensor query, Tensor key, Tensor value, *, Tensor? query_rope=None, Tensor? key_rope=None, "
    "Tensor? pse_shift=None, Tensor? atten_mask=None, SymInt[]? actual_seq_qlen=None, "
    "SymInt[]? actual_seq_kvlen=None, Tensor? block_table=None, Tensor? dequant_scale_query=None, "
    "Tensor? dequant_scale_key=None, Tensor? dequant_offset_key=None, Tensor? dequant_scale_value=None, "
    "Tensor? dequant_offset_value=None, Tensor? dequant_scale_key_rope=None, Tensor? quant_scale_out=None, "
    "Tensor? quant_offset_out=None, Tensor? quant_scale_p=None, Tensor? learnable_sink=None, int num_query_heads=1, "
    "int num_key_value_heads=0, float softmax_scale=1., int pre_tokens=2147483647, int next_tokens=2147483647, "
    "str input_layout=\"BSH\", int sparse_mode=0, int block_size=0, int query_quant_mode=0, int key_quant_mode=0, "
    "int value_quant_mode=0, int inner_precise=0, bool return_softmax_lse=False, int? query_dtype=None, "
    "int? key_dtype=None, int? value_dtype=None, int? query_rope_dtype=None, int? key_rope_dtype=None, "
    "int? key_shared_prefix_dtype=None, int? value_shared_prefix_dtype=None, int? dequant_scale_query_dtype=None, "
    "int? dequant_scale_key_dtype=None, int? dequant_scale_value_dtype=None, int? dequant_scale_key_rope_dtype=None, "
    "int? out_dtype=None, float softcap=0.";

constexpr char kScatterPaCache[] =
    "Tensor key, Tensor slot_mapping, *, Tensor? compress_lens=None, Tensor? compress_seq_offsets=None, "
    "Tensor? seq_lens=None, Tensor(a!) key_cache";

constexpr char kGatherPaKvCache[] = "Tensor key_cache, Tensor value_cache, Tensor block_tables, Tensor seq_lens";
constexpr char kGatherOptions[] = ", *, Tensor? seq_offset=None, bool is_seq_lens_cumsum=False";
constexpr char kKvRmsnorm[] = "Tensor kv, Tensor gamma, Tensor cos, Tensor sin, Tensor index";
constexpr char kWrittenCaches[] = ", Tensor(a!) k_cache, Tensor(b!) ckv_cache";
constexpr char kKvRmsnormOptions[] =
    ", *, Tensor? k_rope_scale=None, Tensor? c_kv_scale=None, Tensor? k_rope_offset=None, Tensor? c_kv_offset=None, "
    "Tensor? v=None, float epsilon=1e-5, str cache_mode='Norm', bool is_output_kv=False";
constexpr char kCacheTypes[] = ", int? k_cache_dtype=None, int? ckv_cache_dtype=None";

// Writes into tensors and memory of the caller, as a captured graph must.
constexpr char kOut[] = ", Tensor(a!)? workspace=None, Tensor(b!)[] out";
constexpr char kFusionV3Out[] = ", Tensor(a!)? workspace=None, *, float softcap=0., Tensor(b!)[] out";

// Behind arguments without, and with, keyword-only ones.
constexpr char kKeywordSoftcap[] = ", *, float softcap=0.";
constexpr char kSoftcap[] = ", float softcap=0.";

// The results that are given as `out`. Without (b!) torch.compile takes them for new tensors and warns, or raises where
// the environment has CI.
std::string GivenResults(int count) {
  std::string results = "(Tensor(b!)";
  for (int i = 1; i < count; ++i) results += ", Tensor(b!)";
  return results + ")";
}

template <class... More>
std::string Schema(std::string_view name, std::string_view arguments, std::string_view returns,
                   More... more_arguments) {
  std::string schema(name);
  schema.append("(").append(arguments);
  (schema.append(more_arguments), ...);
  return schema.append(") -> ").append(returns);
}

// An operator whose lengths are lists, and its overload `tensor_lengths`, which takes them as int64 or int32 tensors:
// those of a captured graph may change from replay to replay.
void DefineWithLengths(torch::Library& m, std::string schema) {
  m.def(schema.c_str());
  schema.insert(schema.find('('), ".tensor_lengths");
  for (const std::string argument :
       {" actual_seq_lengths=", " actual_seq_lengths_kv=", " actual_seq_qlen=", " actual_seq_kvlen="}) {
    const std::size_t end = schema.find(argument);
    if (end == std::string::npos) continue;
    const std::size_t begin = schema.rfind(' ', end - 1) + 1;
    schema.replace(begin, end - begin, "Tensor?");
  }
  m.def(schema.c_str());
}

}  // namespace

TORCH_LIBRARY(npufa, m) {
  const auto define = [&m](auto... parts) { m.def(Schema(parts...).c_str()); };
  m.def(
      "npu_fusion_attention(Tensor query, Tensor key, Tensor value, int head_num, str input_layout, Tensor? pse=None, "
      "Tensor? padding_mask=None, Tensor? atten_mask=None, float scale=1., float keep_prob=1., "
      "int pre_tockens=2147483647, int next_tockens=2147483647, int inner_precise=0, int[]? prefix=None, "
      "int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, int sparse_mode=0, bool gen_mask_parallel=True, "
      "bool sync=False, str softmax_layout=\"\", Tensor? sink=None, Tensor? dropout_mask=None, SymInt seed=0, "
      "SymInt offset=0) -> (Tensor, Tensor, Tensor, Tensor, SymInt, SymInt, SymInt)",
      {at::Tag::nondeterministic_seeded});
  m.def(
      "npu_fusion_attention_grad(Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, "
      "Tensor? pse=None, Tensor? padding_mask=None, Tensor? atten_mask=None, Tensor? softmax_max=None, "
      "Tensor? softmax_sum=None, Tensor? softmax_in=None, Tensor? attention_in=None, float scale_value=1., "
      "float keep_prob=1., int pre_tockens=2147483647, int next_tockens=2147483647, int inner_precise=0, "
      "SymInt seed=0, SymInt offset=0, SymInt numels=0, int[]? prefix=None, int[]? actual_seq_qlen=None, "
      "int[]? actual_seq_kvlen=None, int sparse_mode=0, bool gen_mask_parallel=True, bool sync=False, "
      "str softmax_layout=\"\", Tensor? sink=None) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(Schema("npu_fusion_attention_v2", kFusionV2, "(Tensor, Tensor, Tensor, Tensor, SymInt, SymInt, SymInt)",
               ", Tensor? dropout_mask=None, SymInt seed=0, SymInt offset=0, float softcap=0.")
            .c_str(),
        {at::Tag::nondeterministic_seeded});
  // v2 that draws, and returns what it has drawn as tensors, and the integer of such a tensor: what v1 and v2 are in a
  // graph, see autograd.cpp.
  m.def(Schema("_npu_fusion_attention_drawn", kFusionV2, "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)", kSoftcap)
            .c_str(),
        {at::Tag::nondeterministic_seeded});
  m.def("_npu_dropout_number(Tensor drawn) -> SymInt");
  m.def(
      "npu_fusion_attention_grad_v2(Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, "
      "*, Tensor? pse=None, Tensor? padding_mask=None, Tensor? atten_mask=None, Tensor? softmax_max=None, "
      "Tensor? softmax_sum=None, Tensor? softmax_in=None, Tensor? attention_in=None, Tensor? query_rope=None, "
      "Tensor? key_rope=None, float scale_value=1., float keep_prob=1., int pre_tokens=2147483647, "
      "int next_tokens=2147483647, int inner_precise=0, SymInt seed=0, SymInt offset=0, SymInt numels=0, "
      "int[]? prefix=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, int sparse_mode=0, "
      "bool gen_mask_parallel=True, bool sync=False, int pse_type=1, int[]? q_start_idx=None, "
      "int[]? kv_start_idx=None, str softmax_layout=\"\", Tensor? sink=None, float softcap=0.) -> "
      "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  // grad_v2 with the dropout mask that the forward call was given, or the seed that it has drawn in a graph;
  // autograd's: the public operators have no way to pass them.
  m.def(
      "_npu_fusion_attention_grad_masked(Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, "
      "str input_layout, *, Tensor? pse=None, Tensor? padding_mask=None, Tensor? atten_mask=None, "
      "Tensor? softmax_max=None, Tensor? softmax_sum=None, Tensor? softmax_in=None, Tensor? attention_in=None, "
      "Tensor? query_rope=None, Tensor? key_rope=None, float scale_value=1., float keep_prob=1., "
      "int pre_tokens=2147483647, int next_tokens=2147483647, int inner_precise=0, int[]? prefix=None, "
      "int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, int sparse_mode=0, bool gen_mask_parallel=True, "
      "bool sync=False, int pse_type=1, int[]? q_start_idx=None, int[]? kv_start_idx=None, str softmax_layout=\"\", "
      "Tensor? sink=None, Tensor? dropout_mask=None, Tensor? seed=None, Tensor? offset=None, float softcap=0.) -> "
      "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      Schema("npu_fusion_attention_v3", kFusionV3, "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)", kKeywordSoftcap)
          .c_str(),
      {at::Tag::nondeterministic_seeded});
  m.def(Schema("npu_fusion_attention_grad_v3", kFusionGradV3, "(Tensor, Tensor, Tensor, Tensor, Tensor)").c_str());
  DefineWithLengths(
      m,
      "npu_prompt_flash_attention(Tensor query, Tensor key, Tensor value, *, Tensor? padding_mask=None, "
      "Tensor? atten_mask=None, Tensor? pse_shift=None, int[]? actual_seq_lengths=None, Tensor? deq_scale1=None, "
      "Tensor? quant_scale1=None, Tensor? deq_scale2=None, Tensor? quant_scale2=None, Tensor? quant_offset2=None, "
      "int num_heads=1, float scale_value=1.0, int pre_tokens=2147483647, int next_tokens=0, "
      "str input_layout=\"BSH\", int num_key_value_heads=0, int[]? actual_seq_lengths_kv=None, int sparse_mode=0) -> "
      "Tensor");
  DefineWithLengths(
      m,
      "npu_incre_flash_attention(Tensor query, Tensor key, Tensor value, *, Tensor? padding_mask=None, "
      "Tensor? atten_mask=None, Tensor? pse_shift=None, SymInt[]? actual_seq_lengths=None, "
      "Tensor? antiquant_scale=None, Tensor? antiquant_offset=None, Tensor? block_table=None, "
      "Tensor? dequant_scale1=None, Tensor? quant_scale1=None, Tensor? dequant_scale2=None, "
      "Tensor? quant_scale2=None, Tensor? quant_offset2=None, Tensor? kv_padding_size=None, int num_heads=1, "
      "float scale_value=1.0, str input_layout=\"BSH\", int num_key_value_heads=0, int block_size=0, "
      "int inner_precise=1) -> Tensor");
  DefineWithLengths(m, Schema("npu_fused_infer_attention_score", kFusedInfer, "(Tensor, Tensor)"));
  m.def(
      "npu_advance_step_flashattn(Tensor(a!) input_tokens, Tensor sampled_token_ids, Tensor(b!) input_positions, "
      "Tensor(c!) seq_lens, Tensor(d!) slot_mapping, Tensor block_tables, int num_seqs, int num_queries, "
      "int block_size, *, Tensor? spec_token=None, Tensor? accepted_num=None) -> ()");
  m.def(
      "npu_scatter_pa_kv_cache(Tensor key, Tensor value, Tensor(a!) key_cache, Tensor(b!) value_cache, "
      "Tensor slot_mapping, *, Tensor? compress_lens=None, Tensor? compress_seq_offsets=None, Tensor? seq_lens=None, "
      "str? cache_mode='PA_NZ') -> ()");
  m.def(
      "npu_scatter_pa_kv_cache_functional(Tensor key, Tensor value, Tensor key_cache, Tensor value_cache, "
      "Tensor slot_mapping, *, Tensor? compress_lens=None, Tensor? compress_seq_offsets=None, Tensor? seq_lens=None, "
      "str? cache_mode='PA_NZ') -> (Tensor, Tensor)");
  // The second does the work of the first: an operator that returns what it writes has no functional form.
  define("npu_scatter_pa_cache.value", kScatterPaCache, "Tensor(a!)");
  define("_npu_scatter_pa_cache", kScatterPaCache, "()");
  m.def(
      "_npu_reshape_and_cache(Tensor key, Tensor value, Tensor(a!) key_cache, Tensor(b!) value_cache, "
      "Tensor slot_indices) -> ()");
  m.def("_npu_reshape_and_cache_siso(Tensor key, Tensor(a!) key_cache, Tensor slot_indices) -> ()");
  define("npu_gather_pa_kv_cache", kGatherPaKvCache, "()", ", Tensor(a!) key, Tensor(b!) value", kGatherOptions);
  define("npu_gather_pa_kv_cache_functional", kGatherPaKvCache, "(Tensor, Tensor)", ", Tensor key, Tensor value",
         kGatherOptions);
  m.def("npu_attention_update(Tensor[] lse, Tensor[] local_out, int update_type) -> (Tensor, Tensor)");
  m.def(
      "npu_ring_attention_update(Tensor prev_attn_out, Tensor prev_softmax_max, Tensor prev_softmax_sum, "
      "Tensor cur_attn_out, Tensor cur_softmax_max, Tensor cur_softmax_sum, *, Tensor? actual_seq_qlen=None, "
      "str input_layout=\"SBH\", str input_softmax_layout=\"\") -> (Tensor, Tensor, Tensor)");
  m.def("npu_rotary_mul(Tensor input, Tensor r1, Tensor r2, str rotary_mode='half', Tensor? rotate=None) -> Tensor");
  m.def(
      "npu_rotary_mul_backward(Tensor grad, Tensor input, Tensor r1, Tensor r2, str rotary_mode='half') -> "
      "(Tensor, Tensor, Tensor)");
  // What all of the rotary operators do; `transposed` makes it the derivative. rotary_mode "deinterleave" turns pairs
  // of neighbours that leave as the two halves.
  m.def("_npu_rotary(Tensor input, Tensor r1, Tensor r2, str rotary_mode, bool transposed) -> Tensor");
  m.def("npu_interleave_rope(Tensor x, Tensor cos, Tensor sin) -> Tensor");
  m.def(
      "npu_apply_rotary_pos_emb(Tensor query, Tensor key, Tensor cos, Tensor sin, str layout='BSND', "
      "str rotary_mode='half') -> (Tensor, Tensor)");
  define("npu_kv_rmsnorm_rope_cache", kKvRmsnorm, "(Tensor(a!), Tensor(b!), Tensor, Tensor)", kWrittenCaches,
         kKvRmsnormOptions);
  define("npu_kv_rmsnorm_rope_cache_v2", kKvRmsnorm, "(Tensor, Tensor)", kWrittenCaches, kKvRmsnormOptions,
         kCacheTypes);
  define("npu_kv_rmsnorm_rope_cache_v2_functional", kKvRmsnorm, "(Tensor, Tensor, Tensor, Tensor)",
         ", Tensor k_cache, Tensor ckv_cache", kKvRmsnormOptions, kCacheTypes);
  // The bits of the dropout mask for (seed, offset); `input` tells the device.
  m.def(
      "_npu_dropout_gen_mask.Tensor(Tensor input, int[] size, float p, int seed, int offset, *, bool? parallel=True, "
      "bool? sync=None) -> Tensor");
  // Whether results are batch-invariant; asks for it or no longer does, and returns whether it was asked for before.
  m.def("_batch_invariant() -> bool");
  m.def("_ask_for_batch_invariance(bool on) -> bool");
  m.def("_cpu_capability() -> str");
  m.def("_cpu_capabilities() -> str[]");
  DefineWithLengths(m, Schema("npu_fused_infer_attention_score_v2", kFusedInferV2, "(Tensor, Tensor)"));

  define("npu_fused_infer_attention_score.out", kFusedInfer, GivenResults(2), kOut);
  define("_npu_fused_infer_attention_score_get_max_workspace", kFusedInfer, "Tensor");
  m.def(
      "_npu_fused_infer_attention_score_infer_output(Tensor query, Tensor value, *, str input_layout=\"BSH\", "
      "Tensor? quant_scale2=None, Tensor? block_table=None, int num_heads=1, int num_key_value_heads=0, "
      "bool softmax_lse_flag=False, Tensor? query_rope=None) -> (Tensor, Tensor)");
  define("npu_fused_infer_attention_score_v2.out", kFusedInferV2, GivenResults(2), kOut);
  define("_npu_fused_infer_attention_score_v2_get_max_workspace", kFusedInferV2, "Tensor");
  m.def(
      "_npu_fused_infer_attention_score_v2_infer_output(Tensor query, Tensor value, *, int? query_dtype=None, "
      "int? value_dtype=None, str input_layout=\"BSH\", Tensor? quant_scale_out=None, Tensor? block_table=None, "
      "int num_query_heads=1, int num_key_value_heads=0, bool return_softmax_lse=False, Tensor? query_rope=None, "
      "int? out_dtype=None) -> (Tensor, Tensor)");
  const std::string v3_out = Schema("npu_fusion_attention_v3.out", kFusionV3, GivenResults(6), kFusionV3Out);
  m.def(v3_out.c_str(), {at::Tag::nondeterministic_seeded});
  define("_npu_fusion_attention_v3_get_max_workspace", kFusionV3, "Tensor", kKeywordSoftcap);
  m.def(
      "_npu_fusion_attention_v3_infer_output(Tensor query, Tensor key, Tensor value, int head_num, "
      "str input_layout) -> (Tensor, Tensor, Tensor)");
  define("npu_fusion_attention_grad_v3.out", kFusionGradV3, GivenResults(5), kOut);
  define("_npu_fusion_attention_grad_v3_get_max_workspace", kFusionGradV3, "Tensor");
  m.def(
      "_npu_fusion_attention_grad_v3_infer_output(Tensor query, Tensor key, Tensor value, Tensor? pse=None, "
      "Tensor? sink=None) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
}
