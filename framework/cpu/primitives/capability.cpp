// The choice among the tables that were compiled in.
#include "capability.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace npufa::cpu {

const Primitives& PrimitivesTable_generic();
#if defined(__x86_64__)
const Primitives& PrimitivesTable_avx2();
const Primitives& PrimitivesTable_avx512();
const Primitives& PrimitivesTable_avx512_bf16();
const Primitives& PrimitivesTable_amx();
#elif defined(__aarch64__)
const Primitives& PrimitivesTable_neon_dot();
const Primitives& PrimitivesTable_neon_bf16();
#endif

namespace {

#if defined(__x86_64__)
bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool HasAvx512Bf16() {
  return HasAvx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
}
bool ProbeAmx() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!HasAvx512Bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if ((d & kAmxBf16) == 0 || (d & kAmxTile) == 0) return false;
  // Linux saves the tiles of processes that have asked for it (Documentation/arch/x86/xstate.rst).
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
bool HasAmx() {
  static const bool has = ProbeAmx();
  return has;
}
#elif defined(__aarch64__)
// Bits of Linux, Documentation/arch/arm64/elf_hwcaps.rst, that not every libc's headers name.
bool HasDot() { return (getauxval(AT_HWCAP) & 1ul << 20) != 0; }
bool HasBf16() { return HasDot() && (getauxval(AT_HWCAP2) & 1ul << 14) != 0; }
#endif
bool Always() { return true; }

struct Candidate {
  const Primitives& (*table)();
  bool (*usable)();
};

// Best first.
constexpr Candidate kCandidates[] = {
#if defined(__x86_64__)
    {PrimitivesTable_amx, HasAmx},       {PrimitivesTable_avx512_bf16, HasAvx512Bf16},
    {PrimitivesTable_avx512, HasAvx512}, {PrimitivesTable_avx2, HasAvx2},
#elif defined(__aarch64__)
    {PrimitivesTable_neon_bf16, HasBf16},
    {PrimitivesTable_neon_dot, HasDot},
#endif
    {PrimitivesTable_generic, Always},
};

const Primitives* offered = nullptr;

const Primitives& Choose() {
  const char* wanted = std::getenv("NPUFA_CPU_CAPABILITY");
  if (wanted != nullptr && *wanted != '\0') {
    if (const Primitives* table = FindPrimitives(wanted)) return *table;
    std::string usable;
    for (const std::string& name : UsablePrimitives()) usable += (usable.empty() ? "" : ", ") + name;
    throw std::runtime_error("npufa: NPUFA_CPU_CAPABILITY is not usable here, got " + std::string(wanted) +
                             "; expected one of " + usable);
  }
  for (const Candidate& candidate : kCandidates) {
    if (candidate.usable()) return candidate.table();
  }
  return PrimitivesTable_generic();
}

}  // namespace

const Primitives& BestPrimitives() {
  static const Primitives& chosen = Choose();
  return chosen;
}

std::vector<std::string> UsablePrimitives() {
  std::vector<std::string> names;
  for (const Candidate& candidate : kCandidates) {
    if (candidate.usable()) names.push_back(candidate.table().name);
  }
  if (offered != nullptr) names.push_back(offered->name);
  return names;
}

void OfferPrimitives(const Primitives& table) { offered = &table; }

const Primitives* FindPrimitives(const char* name) {
  if (offered != nullptr && std::strcmp(offered->name, name) == 0) return offered;
  for (const Candidate& candidate : kCandidates) {
    if (candidate.usable() && std::strcmp(candidate.table().name, name) == 0) return &candidate.table();
  }
  return nullptr;
}

}  // namespace npufa::cpu
