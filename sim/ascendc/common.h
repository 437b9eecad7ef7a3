// Sizes, type traits and small functions that kernels use beside instructions.
#pragma once

#include <tuple>
#include <utility>

#include "chip/core_api.h"
#include "constants.h"
#include "dtypes.h"
#include "macros.h"
#include "sync.h"
#include "tensor.h"

// What the hardware calls its place: of a kernel that mixes cores the group, for GetBlockIdx() counts vector cores.
namespace npufa_sim {
struct BlockIndexWord {
  operator std::int64_t() const { return GroupIndex(); }
};
struct BlockCountWord {
  operator std::int64_t() const { return BlockCount(); }
};
}  // namespace npufa_sim
inline constexpr npufa_sim::BlockIndexWord block_idx{};
inline constexpr npufa_sim::BlockCountWord block_num{};

namespace AscendC {

// The standard's own templates under the name that device code uses.
namespace Std {
using namespace std;
}

template <class T, class U>
struct IsSameType : std::is_same<T, U> {};
template <class T, class... Others>
constexpr bool IsSameTypeOneOf = (std::is_same_v<T, Others> || ...);
template <class T, class... Others>
constexpr bool SupportType() {
  return IsSameTypeOneOf<T, Others...>;
}
template <class T, int... sizes>
constexpr bool SupportBytes() {
  return ((sizeof(T) == sizes) || ...);
}
template <class T>
using PrimT = T;
template <bool condition, class T, class F>
using Conditional = std::conditional<condition, T, F>;
template <class T>
struct SizeOfBits {
  static constexpr uint32_t value = std::is_same_v<T, int4b_t> ? 4 : sizeof(T) * 8;
};

template <class T, class U>
constexpr T DivCeil(T a, U b) {
  return static_cast<T>((a + b - 1) / b);
}
template <class T, class U>
constexpr auto CeilDivision(T a, U b) {
  return b == 0 ? static_cast<T>(0) : static_cast<T>((a + b - 1) / b);
}
template <class T, class U>
constexpr auto CeilDiv(T a, U b) {
  return CeilDivision(a, b);
}
template <class T, class U>
constexpr auto AlignUp(T a, U b) {
  return CeilDivision(a, b) * b;
}
template <class T, class U>
constexpr auto Align(T a, U b) {
  return AlignUp(a, b);
}
constexpr uint32_t Ceil(uint32_t a, uint32_t b) { return CeilDivision(a, b); }
constexpr uint32_t ConstCeil(uint32_t a, uint32_t b) { return CeilDivision(a, b); }
inline int64_t ScalarCountLeadingZero(uint64_t value) { return value == 0 ? 64 : __builtin_clzll(value); }
constexpr uint32_t GetUBSizeInBytes() { return TOTAL_UB_SIZE; }
inline uint32_t GetRuntimeUBSize() { return TOTAL_UB_SIZE; }
constexpr int32_t GetDataBlockSizeInBytes() { return ONE_BLK_SIZE; }

inline int64_t GetProgramCounter() { return 0; }
inline void Trap(npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::Fault("trap", site, "Trap", "the kernel ends itself", "look for the condition that led here");
}
// Only what happens on one core in between can be compared: instructions, not time.
inline int64_t GetSystemCycle() { return static_cast<int64_t>(npufa_sim::IssuedInstructions()); }

// What the start of every kernel does with the modes that stay set.
inline void InitSocState() {
  npufa_sim::CurrentAtomic() = {};
  npufa_sim::CurrentMask() = {};
}

inline void DisableDmaAtomic() { SetAtomicNone(); }

// Where the flags of the cores lie is the runtime's affair.
inline void SetSyncBaseAddr(uint64_t) {}

// Hands out one memory from its start, without a TPipe.
enum class Hardware : uint8_t { GM, UB, L1, L0A, L0B, L0C, BIAS, FIXBUF, MAX };

constexpr TPosition PositionOf(Hardware memory) {
  switch (memory) {
    case Hardware::L1: return TPosition::A1;
    case Hardware::L0A: return TPosition::A2;
    case Hardware::L0B: return TPosition::B2;
    case Hardware::L0C: return TPosition::CO1;
    case Hardware::BIAS: return TPosition::C2;
    case Hardware::FIXBUF: return TPosition::C2PIPE2GM;
    default: return TPosition::VECCALC;
  }
}

template <Hardware memory = Hardware::UB>
class LocalMemAllocator {
 public:
  uint32_t GetCurAddr() const { return head_; }

  template <TPosition position, class T, uint32_t tileSize>
  LocalTensor<T> Alloc() {
    return Take<T>(position, tileSize);
  }
  template <TPosition position, class T>
  LocalTensor<T> Alloc(uint32_t tileSize) {
    return Take<T>(position, tileSize);
  }
  template <class T, uint32_t tileSize>
  LocalTensor<T> Alloc() {
    return Take<T>(PositionOf(memory), tileSize);
  }
  template <class T>
  LocalTensor<T> Alloc(uint32_t tileSize) {
    return Take<T>(PositionOf(memory), tileSize);
  }

 private:
  template <class T>
  LocalTensor<T> Take(TPosition position, uint32_t elements) {
    const LocalTensor<T> tensor(position, head_, elements);
    head_ += (static_cast<uint32_t>(BytesOf<T>(elements)) + ONE_BLK_SIZE - 1) / ONE_BLK_SIZE * ONE_BLK_SIZE;
    return tensor;
  }

  uint32_t head_ = 0;
};

}  // namespace AscendC
