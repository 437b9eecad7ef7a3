#include "fused_infer_v2.h"

namespace npufa {

namespace {

void RequireNone(const Arguments& a, const char* name) {
  if (a.OptionalTensor(name).defined()) Fail(a.Op(), name, "is not supported", "a tensor", "None");
}

// A type that is asked for by number must be the one the tensor has anyway: bits are not read as another type.
void RequireOwnType(const Arguments& a, const char* name, std::optional<at::ScalarType> own) {
  if (!a.Has(name)) return;
  const c10::IValue& value = a.At(name);
  if (value.isNone() || (own && value.toInt() == static_cast<std::int64_t>(*own))) return;
  Fail(a.Op(), name, "is not supported", value.toInt(), own ? std::string("None or ") + c10::toString(*own) : "None");
}

}  // namespace

void RequireSupportedV2(const Arguments& a) {
  if (!a.Has("out_dtype")) return;
  RequireNone(a, "quant_scale_p");
  const auto type_of = [&](const char* name) {
    const at::Tensor t = a.OptionalTensor(name);
    return t.defined() ? std::optional(t.scalar_type()) : std::nullopt;
  };
  for (const char* name :
       {"query", "key", "value", "query_rope", "key_rope", "key_shared_prefix", "value_shared_prefix",
        "dequant_scale_query", "dequant_scale_key", "dequant_scale_value", "dequant_scale_key_rope"}) {
    RequireOwnType(a, (std::string(name) + "_dtype").c_str(), type_of(name));
  }
  const bool int8_output = a.OptionalTensor("quant_scale_out").defined();
  const at::ScalarType query = a.Tensor("query").scalar_type();
  const at::ScalarType number = query == at::kChar ? type_of("query_rope").value_or(at::kHalf) : query;
  RequireOwnType(a, "out_dtype", int8_output ? at::kChar : number);
}

}  // namespace npufa
