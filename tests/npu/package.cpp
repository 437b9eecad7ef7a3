// A custom operator package that stands for npufa's: its entry point fails in the phase that scale_value asks for, and
// writes down what it was given.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

struct aclTensor;
struct aclIntArray;
struct aclOpExecutor;

extern "C" {

int aclGetIntArraySize(const aclIntArray*, std::uint64_t*);
int aclGetViewShape(const aclTensor*, std::int64_t**, std::uint64_t*);

}  // extern "C"

static double scale;

static void Write(std::ofstream& out, const aclTensor* tensor) {
  if (tensor == nullptr) {
    out << "none ";
    return;
  }
  std::int64_t* sizes = nullptr;
  std::uint64_t rank = 0;
  aclGetViewShape(tensor, &sizes, &rank);
  for (std::uint64_t i = 0; i < rank; ++i) out << (i ? "x" : "") << sizes[i];
  out << ' ';
  delete[] sizes;
}

static void Write(std::ofstream& out, const aclIntArray* array) {
  std::uint64_t size = 0;
  if (array != nullptr) aclGetIntArraySize(array, &size);
  out << (array == nullptr ? "none" : std::to_string(size)) << ' ';
}

extern "C" {

extern const char npufa_operator_package[];
const char npufa_operator_package[] = "npufa operator package " PACKAGE_VERSION;

int aclnnNpufaPromptFlashAttentionGetWorkspaceSize(
    const aclTensor* query, const aclTensor* key, const aclTensor* value, const aclTensor* pse_shift,
    const aclTensor* atten_mask, const aclIntArray* lengths, const aclIntArray* lengths_kv, const aclTensor* deq_scale1,
    const aclTensor* quant_scale1, const aclTensor* deq_scale2, const aclTensor* quant_scale2,
    const aclTensor* quant_offset2, const aclTensor* lengths_tensor, const aclTensor* lengths_kv_tensor,
    std::int64_t num_heads, double scale_value, std::int64_t pre_tokens, std::int64_t next_tokens, char* input_layout,
    std::int64_t num_key_value_heads, std::int64_t sparse_mode, std::int64_t inner_precise, bool batch_invariant,
    const aclTensor* attention_out, std::uint64_t* workspace_size, aclOpExecutor** executor) {
  std::ofstream out(std::getenv("NPUFA_TEST_RECORD"));
  for (const aclTensor* tensor : {query, key, value, pse_shift, atten_mask}) Write(out, tensor);
  for (const aclIntArray* array : {lengths, lengths_kv}) Write(out, array);
  for (const aclTensor* tensor :
       {deq_scale1, quant_scale1, deq_scale2, quant_scale2, quant_offset2, lengths_tensor, lengths_kv_tensor}) {
    Write(out, tensor);
  }
  out << num_heads << ' ' << scale_value << ' ' << pre_tokens << ' ' << next_tokens << ' ' << input_layout << ' '
      << num_key_value_heads << ' ' << sparse_mode << ' ' << inner_precise << ' ' << batch_invariant << ' ';
  Write(out, attention_out);
  scale = scale_value;
  *workspace_size = 4096;
  *executor = nullptr;
  return scale_value == 1.5 ? 161002 : 0;
}

int aclnnNpufaPromptFlashAttention(void* workspace, std::uint64_t workspace_size, aclOpExecutor*, void*) {
  std::memset(workspace, 0, workspace_size);
  return scale == 2.5 ? 507015 : 0;
}

}  // extern "C"
