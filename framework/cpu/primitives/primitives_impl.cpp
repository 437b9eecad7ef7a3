// One table of primitives. CMake compiles this file once per instruction set, with its flags and NPUFA_ISA its name.
#include "decode.h"
#include "decode_bf16.h"
#include "decode_int8.h"
#include "dropout.h"
#include "elementwise.h"
#include "gemm.h"
#include "gemm_amx.h"
#include "pack.h"
#include "softcap.h"
#include "softmax.h"

#define NPUFA_JOIN(a, b) a##b
#define NPUFA_EXPAND_JOIN(a, b) NPUFA_JOIN(a, b)
#define NPUFA_QUOTE(a) #a
#define NPUFA_EXPAND_QUOTE(a) NPUFA_QUOTE(a)

namespace npufa::cpu {
namespace NPUFA_ISA {
namespace {

#if defined(__AMX_BF16__)
constexpr PlaneCounts kPlanes = kTilePlanes;
constexpr std::int64_t kTileRows = kMaxTileRows;
#else
#if defined(NPUFA_BF16_PRODUCTS)
constexpr PlaneCounts kPlanes = {1, 0, 0};
#else
constexpr PlaneCounts kPlanes = {0, 0, 0};
#endif
constexpr std::int64_t kTileRows = 48;  // a multiple of every micro-kernel's height
constexpr auto GemmBf16Tiles = GemmBf16;
constexpr decltype(Primitives::release) ReleaseTiles = nullptr;
#endif
#if !defined(NPUFA_BF16_PRODUCTS)
constexpr decltype(Primitives::dot_rows_bf16) DotRowsBf16 = nullptr;
constexpr decltype(Primitives::accumulate_rows_bf16) AccumulateRowsBf16 = nullptr;
#endif
#if !defined(NPUFA_BYTE_PRODUCTS)
constexpr decltype(Primitives::dot_rows_int8) DotRowsInt8 = nullptr;
constexpr decltype(Primitives::accumulate_rows_int8) AccumulateRowsInt8 = nullptr;
constexpr decltype(Primitives::fixed_rows) ToFixedRows = nullptr;
#endif

constexpr Primitives kTable = {
    NPUFA_EXPAND_QUOTE(NPUFA_ISA),
    kPlanes,
    kTileRows,
    GemmF32,
    GemmBf16Tiles,
    PackF32,
    PackTransposedF32,
    PackBf16,
    PackVnniBf16,
    PackTransposedVnniBf16,
    RoundBf16,
    TransposeBf16,
    SoftmaxRows,
    ExpRows,
    SoftmaxGradRows,
    SoftcapRows,
    BiasRow,
    AlibiRow,
    MaskRow,
    DropoutPhiloxRow,
    DropoutBitsRow,
    QuantizeRow,
    DotRows,
    AccumulateRows,
    DotRowsBf16,
    AccumulateRowsBf16,
    DotRowsInt8,
    AccumulateRowsInt8,
    ToFixedRows,
    UnpackInt4,
    ScaleRows,
    ToF32,
    FromF32,
    ReleaseTiles,
};

}  // namespace
}  // namespace NPUFA_ISA

const Primitives& NPUFA_EXPAND_JOIN(PrimitivesTable_, NPUFA_ISA)() { return NPUFA_ISA::kTable; }

}  // namespace npufa::cpu
