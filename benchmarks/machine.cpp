// What one core of this machine can do at most: products per second of each instruction, and bytes read per second.
// benchmarks/machine.py compiles it with -march=native and calls it from as many threads as torch has.
#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

// Independent accumulators: more than latency times throughput of a multiply-add.
constexpr int kChains = 24;

#if defined(__AVX512F__)
using Vec = __m512;
constexpr int kLanes = 16;
#elif defined(__AVX2__)
using Vec = __m256;
constexpr int kLanes = 8;
#else
using Vec __attribute__((vector_size(16))) = float;
constexpr int kLanes = 4;
#endif

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Products per second when every step of `step` makes `products` of them in each chain.
template <class Register, class Step>
double Rate(std::int64_t steps, double products, Step step) {
  Register chain[kChains] = {};
  const double start = Seconds();
  for (std::int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) {
      chain[c] = step(chain[c]);
      // Keeps the compiler from merging steps.
      asm volatile("" : "+x"(chain[c]));
    }
  }
  return static_cast<double>(steps) * kChains * products / (Seconds() - start);
}

}  // namespace

extern "C" {

// Multiply-adds of float32 a second, counted as two operations each.
double npufa_peak_f32(std::int64_t steps) {
  Vec factor{};
  asm volatile("" : "+x"(factor));
  return Rate<Vec>(steps, 2 * kLanes, [&](Vec c) { return factor * factor + c; });
}

// The same of bfloat16 pairs (vdpbf16ps); 0 without the instruction.
double npufa_peak_bf16([[maybe_unused]] std::int64_t steps) {
#if defined(__AVX512BF16__)
  __m512bh factor{};
  asm volatile("" : "+x"(factor));
  return Rate<__m512>(steps, 4 * kLanes, [&](__m512 c) { return _mm512_dpbf16_ps(c, factor, factor); });
#else
  return 0.0;
#endif
}

// The same of int8 quadruples (vpdpbusd); 0 without the instruction.
double npufa_peak_int8([[maybe_unused]] std::int64_t steps) {
#if defined(__AVX512VNNI__)
  __m512i factor{};
  asm volatile("" : "+x"(factor));
  return Rate<__m512i>(steps, 8 * kLanes, [&](__m512i c) { return _mm512_dpbusd_epi32(c, factor, factor); });
#else
  return 0.0;
#endif
}

// The same of bfloat16 tiles (tdpbf16ps); 0 without them, or where Linux refuses them.
double npufa_peak_tiles([[maybe_unused]] std::int64_t steps) {
#if defined(__AMX_BF16__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return 0.0;
  alignas(64) unsigned char tiles[64] = {1};
  for (int t = 0; t < 8; ++t) {
    tiles[16 + 2 * t] = 64;  // bytes of a row
    tiles[48 + t] = 16;      // rows
  }
  asm volatile("ldtilecfg %0" ::"m"(tiles));
  const double start = Seconds();
  for (std::int64_t i = 0; i < steps; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  const double seconds = Seconds() - start;
  _tile_release();
  return static_cast<double>(steps) * 4 * (2 * 16 * 16 * 32) / seconds;
#else
  return 0.0;
#endif
}

// Reads `bytes` (a multiple of 512) once with plain loads and returns something that depends on all of them.
float npufa_read(const float* data, std::int64_t bytes) {
  constexpr int kStreams = 8;
  Vec sum[kStreams] = {};
  const std::int64_t count = bytes / static_cast<std::int64_t>(sizeof(float));
  for (std::int64_t i = 0; i + kStreams * kLanes <= count; i += kStreams * kLanes) {
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s) {
      Vec v;
      __builtin_memcpy(&v, data + i + s * kLanes, sizeof v);
      sum[s] += v;
    }
  }
  Vec total{};
  for (const Vec& s : sum) total += s;
  float result = 0.0f;
  for (int i = 0; i < kLanes; ++i) result += total[i];
  return result;
}

}  // extern "C"
