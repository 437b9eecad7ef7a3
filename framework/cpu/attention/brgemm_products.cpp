// bfloat16 products through ATen's brgemm (oneDNN, torch 2.6 and newer): another way to AMX tiles, to compare gemm_amx.h
// with.
#include "torch_compat.h"

#if NPUFA_TORCH_AT_LEAST(6)
#include <ATen/native/CPUBlas.h>

#include "cpu/primitives/capability.h"

namespace npufa::cpu {

namespace {

void GemmBf16(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16Planes& a, const Bf16Planes& b, float* c,
              std::int64_t ldc, bool accumulate) {
  for (std::int64_t i = 0; i < a.count; ++i) {
    for (std::int64_t j = 0; i + j < a.count; ++j) {
      at::native::cpublas::brgemm(m, n, k, a.ld, b.ld, ldc, accumulate,
                                  reinterpret_cast<const at::BFloat16*>(a.data + i * a.stride),
                                  reinterpret_cast<const at::BFloat16*>(b.data + j * b.stride), c, /*is_vnni=*/true);
      accumulate = true;
    }
  }
}

void Release() { at::native::cpublas::brgemm_release(); }

// Packing writes pairs of rows, which is what brgemm wants of its right-hand side.
const Primitives* BrgemmTable() {
  const Primitives* base = FindPrimitives("avx512_bf16");
  if (base == nullptr) return nullptr;
  static Primitives table = *base;
  table.name = "brgemm";
  table.planes = kTilePlanes;
  table.gemm_bf16 = GemmBf16;
  table.release = Release;
  return &table;
}

const bool kOffered = [] {
  const Primitives* table = BrgemmTable();
  if (table != nullptr) OfferPrimitives(*table);
  return table != nullptr;
}();

}  // namespace

}  // namespace npufa::cpu
#endif
