// Functions of the host side that tests call by name.
#include <cstring>
#include <string>
#include <vector>

#include "cann/data_types.h"
#include "cann/op_check.h"
#include "cann/op_combinations.h"
#include "cann/op_registry.h"
#include "common/describe.h"
#include "common/work_partition.h"
#include "attention/forward_tiling.h"

namespace {

const char* Kept(std::string text) {
  static thread_local std::string kept;
  kept = std::move(text);
  return kept.c_str();
}

// A definition that is legal, for tests to break.
ops::OpDef Legal() {
  ops::OpDef def("Legal");
  def.Input("x").DataType({ge::DT_FLOAT, ge::DT_FLOAT16});
  def.Output("out").DataType({ge::DT_FLOAT, ge::DT_FLOAT16});
  def.AICore().AddConfig("ascend910b").SetTiling([](gert::TilingContext*) { return UINT32{0}; });
  return def;
}

ops::OpDef Broken(const std::string& how) {
  ops::OpDef def = Legal();
  if (how == "no output") def.outputs.clear();
  if (how == "no chip") def.AICore().configs.clear();
  if (how == "no tiling") def.AICore().SetTiling(nullptr);
  if (how == "no types") def.Input("y");
  if (how == "other length") def.Input("y").DataType({ge::DT_FLOAT});
  if (how == "formats of other length") def.Input("x").Format({ge::FORMAT_ND});
  if (how == "both contiguous") def.Input("x").AutoContiguous().IgnoreContiguous();
  if (how == "value of half") def.Input("y").DataTypeList({ge::DT_FLOAT16}).ValueDepend(ops::REQUIRED);
  if (how == "attr without type") def.Attr("a");
  if (how == "lists that multiply" || how == "as many as possible") {
    for (const char* name : {"a", "b", "c"}) def.Input(name).DataTypeList(std::vector(5, ge::DT_INT32));
    def.Input("d").DataTypeList(std::vector(how == "as many as possible" ? 4 : 5, ge::DT_INT8));
  }
  if (how == "formats that multiply") {
    for (const char* name : {"a", "b", "c"}) {
      def.Input(name).DataTypeList({ge::DT_INT8}).FormatList(std::vector(10, ge::FORMAT_ND));
    }
  }
  if (how == "millions") {
    for (int i = 0; i < 40; ++i) def.Input(std::to_string(i).c_str()).DataTypeList(std::vector(10, ge::DT_INT8));
  }
  if (how == "optional attr without default") def.Attr("a").AttrType(ops::OPTIONAL).Int();
  return def;
}

}  // namespace

#define TEST_API extern "C" __attribute__((visibility("default")))

// "" when the definition is accepted, else the reason.
TEST_API const char* test_check_definition(const char* how) {
  try {
    npufa_sim::CheckDefinition(Broken(how));
    return "";
  } catch (const std::exception& error) {
    return Kept(error.what());
  }
}

// What op_build makes of x in two columns, y in three types of its own and out in two formats of its own.
TEST_API const char* test_combinations() {
  ops::OpDef def = Legal();
  def.Input("y").DataTypeList({ge::DT_INT8, ge::DT_INT32, ge::DT_INT64});
  def.Output("out").FormatList({ge::FORMAT_ND, ge::FORMAT_NCHW});
  std::string text;
  for (const npufa_sim::Combination& row :
       npufa_sim::Combinations("Test", {&def.inputs.front(), &def.inputs.back(), &def.outputs.front()})) {
    for (const npufa_sim::TypeAndFormat& entry : row) {
      text += npufa_sim::NameOf(entry.type) + " " + npufa_sim::NameOf(entry.format) + ", ";
    }
    text += "\n";
  }
  return Kept(text);
}

TEST_API const char* test_kernel_name(const char* type) { return Kept(npufa_sim::KernelName(type)); }
TEST_API const char* test_camel_case(const char* name) { return Kept(npufa_sim::CamelCase(name)); }

// Runs: `count` costs each, repeated.
TEST_API void test_split(const std::uint64_t* costs, const std::uint64_t* counts, const std::uint64_t* repeats,
                         std::uint64_t runs, std::uint64_t cores, std::uint64_t* first) {
  npufa::WorkPartition work;
  for (std::uint64_t run = 0; run < runs; costs += counts[run++]) work.Add({costs, costs + counts[run]}, repeats[run]);
  work.Split(cores, first);
}

struct TestCall {
  const char* layout;
  std::int64_t heads, kv_heads, mode, pre, next;
  std::int64_t query[4], key[4], value[4], mask[4], bias[4];  // sizes; unused axes -1; no axis: absent
  std::int64_t lengths[8], kv_lengths[8];                     // until -1
  std::int64_t batch_invariant;
};

namespace {

std::vector<std::int64_t> Until(const std::int64_t* values, std::size_t most) {
  std::vector<std::int64_t> list;
  for (std::size_t i = 0; i < most && values[i] >= 0; ++i) list.push_back(values[i]);
  return list;
}

npufa::TensorDesc<std::int64_t> Tensor(const std::int64_t* sizes, npufa::DType dtype) {
  const std::vector<std::int64_t> list = Until(sizes, 4);
  return {!list.empty(), dtype, list};
}

}  // namespace

// "" and the tiling and launch, or the reason why there is none.
TEST_API const char* test_fill_tiling(const TestCall* test, std::uint32_t cores, void* tiling, std::uint64_t* launch) {
  try {
    npufa::AttentionCall<std::int64_t> call;
    call.kind = npufa::OpKind::kPrompt;
    call.op = "npu_prompt_flash_attention";
    call.names = npufa::PromptNames();
    call.input_layout = test->layout;
    call.heads = test->heads;
    call.kv_heads = test->kv_heads;
    call.sparse_mode = test->mode;
    call.pre_tokens = test->pre;
    call.next_tokens = test->next;
    call.query = Tensor(test->query, npufa::DType::kBFloat16);
    call.key = Tensor(test->key, npufa::DType::kBFloat16);
    call.value = Tensor(test->value, npufa::DType::kBFloat16);
    call.atten_mask = Tensor(test->mask, npufa::DType::kBool);
    call.pse = Tensor(test->bias, npufa::DType::kBFloat16);
    if (test->lengths[0] >= 0) call.q_lens = Until(test->lengths, 8);
    if (test->kv_lengths[0] >= 0) call.kv_lens = Until(test->kv_lengths, 8);
    call.batch_invariant = test->batch_invariant != 0;
    npufa::ForwardTiling filled;
    const npufa::ForwardLaunch made = npufa::FillTiling(call, npufa::Describe(call), 0.25f, {cores}, filled);
    std::memcpy(tiling, &filled, sizeof filled);
    launch[0] = made.tiling_key;
    launch[1] = made.block_dim;
    launch[2] = made.workspace_bytes;
    launch[3] = made.waits_for_all;
    return "";
  } catch (const std::exception& error) {
    return Kept(error.what());
  }
}
