// What torch alone has of a call's arguments: lengths as lists or tensors.
#pragma once

#include "arguments.h"
#include "ops/batch_invariance.h"
#include "ops/fused_infer_v2.h"
#include "read_call.h"

namespace npufa {

// Where the values of lengths that are given as tensors are read.
enum class LengthValues {
  kHost,    // copied to the host now
  kDevice,  // not before the kernel runs, unless the tensor lies on the CPU
};

inline std::vector<std::int64_t> CopyLengths(const Arguments& a, const char* name, const at::Tensor& lengths) {
  const at::ScalarType dtype = lengths.scalar_type();
  if (dtype != at::kLong && dtype != at::kInt) {
    Fail(a.Op(), name, "has the wrong dtype", NameOf(FromTorch(dtype)), "int64 or int32");
  }
  if (lengths.dim() != 1) Fail(a.Op(), name, "has the wrong number of dimensions", lengths.dim(), "1");
  const at::Tensor host = lengths.to(at::kCPU, at::kLong).contiguous();
  const std::int64_t* data = host.const_data_ptr<std::int64_t>();
  return {data, data + host.numel()};
}

template <class Int>
void ReadLengths(const Arguments& a, const char* name, LengthValues where, OptionalList<Int>* list, bool* cumulative,
                 TensorDesc<Int>* tensor) {
  const c10::IValue& value = a.At(name);
  if (!value.isTensor()) {
    *list = a.List<Int>(name);
    return;
  }
  *cumulative = true;
  if constexpr (std::is_same_v<Int, std::int64_t>) {
    if (where == LengthValues::kHost || value.toTensor().is_cpu()) {
      *list = CopyLengths(a, name, value.toTensor());
      return;
    }
  }
  *tensor = a.Desc<Int>(name);
}

template <class Int>
AttentionCall<Int> FusionCall(const Arguments& a, LengthValues where = LengthValues::kHost) {
  AttentionCall<Int> c = ReadFusionCall<Int>(a);
  c.batch_invariant = IsBatchInvariant();
  ReadLengths(a, c.names.q_lens, where, &c.q_lens, &c.q_lens_cumulative, &c.q_lens_tensor);
  ReadLengths(a, c.names.kv_lens, where, &c.kv_lens, &c.kv_lens_cumulative, &c.kv_lens_tensor);
  return c;
}

template <class Int>
AttentionCall<Int> InferenceCall(const Arguments& a, OpKind kind, LengthValues where = LengthValues::kHost) {
  RequireSupportedV2(a);
  AttentionCall<Int> c = ReadInferenceCall<Int>(a, kind);
  c.batch_invariant = IsBatchInvariant();
  c.q_lens_cumulative = c.kv_lens_cumulative = a.Flag("cumulative_lengths");
  ReadLengths(a, c.names.kv_lens, where, &c.kv_lens, &c.kv_lens_cumulative, &c.kv_lens_tensor);
  if (kind == OpKind::kIncre) return c;  // its one list of lengths is the keys'
  ReadLengths(a, c.names.q_lens, where, &c.q_lens, &c.q_lens_cumulative, &c.q_lens_tensor);
  return c;
}

}  // namespace npufa
