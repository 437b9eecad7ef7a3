// atb's attention operators. Names, order and defaults are those of torch_npu's namespace atb.
#include <torch/library.h>

TORCH_LIBRARY_FRAGMENT(npufa, m) {
  m.def(
      "_npu_paged_attention(Tensor query, Tensor key_cache, Tensor value_cache, int num_kv_heads, int num_heads, "
      "float scale_value, Tensor block_table, Tensor context_lens, Tensor(a!) out, *, Tensor? workspace=None) -> ()");
  m.def(
      "_npu_paged_attention_get_workspace(Tensor query, Tensor key_cache, Tensor value_cache, int num_kv_heads, "
      "int num_heads, float scale_value, Tensor block_table, Tensor context_lens, Tensor(a!) out) -> Tensor");
  m.def(
      "_npu_paged_attention_v2.out(Tensor query, Tensor key_cache, Tensor block_table, SymInt[] context_lens, *, "
      "Tensor? value_cache=None, Tensor? mask=None, int num_kv_heads=0, int num_heads=0, float scale_value=1.0, "
      "int mask_type=0, Tensor? workspace=None, Tensor(a!) out) -> Tensor(a!)");
  m.def(
      "_npu_paged_attention_v2_get_workspace(Tensor query, Tensor key_cache, Tensor block_table, "
      "SymInt[] context_lens, *, Tensor? value_cache=None, Tensor? mask=None, int num_kv_heads=0, int num_heads=0, "
      "float scale_value=1.0, int mask_type=0, Tensor(a!) out) -> Tensor");
  m.def(
      "_npu_paged_attention_mla(Tensor query, Tensor key_cache, int num_kv_heads, int num_heads, float scale_value, "
      "Tensor block_table, Tensor context_lens, int mla_vheadsize, Tensor(a!) out) -> ()");
  m.def(
      "_npu_paged_attention_splitfuse(Tensor query, Tensor key_cache, Tensor value_cache, Tensor block_table, "
      "Tensor context_lens, Tensor mask, Tensor seq_len, int num_kv_heads, int num_heads, float scale_value, "
      "Tensor(a!) out) -> ()");
  m.def(
      "_npu_paged_attention_splitfuse_v2(Tensor query, Tensor key_cache, Tensor value_cache, Tensor block_table, "
      "Tensor context_lens, Tensor mask, Tensor seq_len, int num_kv_heads, int num_heads, float scale_value, *, "
      "int? mask_type=5, Tensor(a!) out) -> ()");
  m.def(
      "_npu_flash_attention(Tensor query, Tensor key, Tensor value, Tensor mask, Tensor seq_len, float scale_value, "
      "int num_heads, int num_kv_heads, Tensor(a!) out) -> ()");
  m.def(
      "_npu_flash_attention_v2.out(Tensor query, Tensor key, Tensor value, SymInt[] seq_len, *, Tensor? mask=None, "
      "Tensor? slopes=None, int kernel_type=0, int mask_type=2, float scale_value=1, int num_heads=0, "
      "int num_kv_heads=0, Tensor(a!) out) -> Tensor(a!)");
  m.def(
      "_npu_flash_attention_v3(Tensor query, Tensor key, Tensor value, Tensor mask, Tensor seq_len, "
      "float scale_value, int num_heads, int num_kv_heads, *, int? mask_type=3, Tensor(a!) out) -> ()");
  m.def(
      "_npu_flash_attention_unpad(Tensor query, Tensor key, Tensor value, Tensor seq_len, float scale_value, "
      "int num_heads, int num_kv_heads, Tensor(a!) out) -> ()");
  m.def(
      "_npu_flash_attention_unpad_v2(Tensor query, Tensor key, Tensor value, Tensor seq_len, float scale_value, "
      "int num_heads, int num_kv_heads, *, int? kernel_type=0, Tensor(a!) out) -> ()");
  m.def(
      "_npu_flash_attention_qlens(Tensor query, Tensor key_cache, Tensor value_cache, Tensor block_table, Tensor mask, "
      "Tensor seq_len, Tensor context_lens, int num_kv_heads, int num_heads, float scale_value, Tensor(a!) out) -> ()");
  m.def(
      "_npu_flash_attention_prefix_v2.out(Tensor query, Tensor key_cache, Tensor value_cache, Tensor block_table, "
      "Tensor mask, SymInt[] seq_len, SymInt[] context_lens, *, Tensor? slopes=None, int kernel_type=1, "
      "int mask_type=3, int num_kv_heads=0, int num_heads=0, float scale_value=1, Tensor(a!) out) -> Tensor(a!)");
}
