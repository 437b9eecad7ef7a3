// bfloat16 products through ATen's brgemm (oneDNN), which reaches AMX tiles.
#include <ATen/cpu/Utils.h>
#include <ATen/native/CPUBlas.h>

#include "capability.h"

namespace npufa::cpu {

namespace {

void GemmBf16(std::int64_t m, std::int64_t n, std::int64_t k, const std::uint16_t* a, std::int64_t lda,
              const std::uint16_t* b, std::int64_t ldb, float* c, std::int64_t ldc, bool accumulate) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, accumulate, reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c, /*is_vnni=*/true);
}

void Release() { at::native::cpublas::brgemm_release(); }

// Packing writes pairs of rows, which is what brgemm wants of its right-hand side.
const Primitives* BrgemmTable() {
  const Primitives* base = FindPrimitives("avx512_bf16");
  if (base == nullptr) return nullptr;
  static Primitives table = *base;
  table.name = "brgemm";
  table.bf16_products = true;
  table.gemm_bf16 = GemmBf16;
  table.release = Release;
  return &table;
}

bool HasAmx() {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto amx = capabilities.find("amx_bf16");
  return amx != capabilities.end() && amx->second.toBool();
}

const bool kOffered = [] {
  const bool amx = HasAmx() && at::cpu::init_amx();
  if (const Primitives* table = BrgemmTable()) OfferPrimitives(*table, /*preferred=*/amx);
  return true;
}();

}  // namespace

}  // namespace npufa::cpu
