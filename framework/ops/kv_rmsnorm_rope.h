// What npu_kv_rmsnorm_rope_cache returns beside the caches.
#pragma once

#include "arguments.h"
#include "kv_rmsnorm_rope_cache.h"

namespace npufa {

struct LatentRows {
  at::Tensor rope, norm;
};

// (B, 1, S, columns) of k_cache and of ckv_cache in the type of kv; without `wanted` no elements.
LatentRows MakeLatentRows(const Arguments& a, bool wanted);

// The arguments that no backend takes.
void RequireNoLatentTypes(const Arguments& a);

}  // namespace npufa
