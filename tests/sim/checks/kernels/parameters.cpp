// Parameters that an instruction does not have.
#include "checks.h"

namespace {

constexpr uint32_t kCount = 256;

enum class Bug {
  kNone,
  kRepeat,
  kRepeatStride,
  kMask,
  kBlockStride,
  kOverlap,
  kBlockCount,
  kGap,
  kPadLength,
  kPadding,
  kAtomic,
  kGather,
  kCompare,
  kRound
};

// z = x + y of 256 floats, by instructions with repeats, strides and masks.
template <Bug bug>
void Sum(const Arguments& gm) {
  constexpr auto value = [](Bug wanted, int64_t wrong, int64_t right) { return bug == wanted ? wrong : right; };
  TPipe pipe;
  const auto x = Buffer<float>(pipe, kCount), y = Buffer<float>(pipe, kCount), z = Buffer<float>(pipe, kCount);
  const auto half_z = Buffer<half>(pipe, kCount);
  const auto offsets = Buffer<uint32_t>(pipe, kCount);
  const auto bits = Buffer<uint8_t>(pipe, kCount);

  DataCopyParams blocks;
  blocks.blockCount = value(Bug::kBlockCount, 4096, 4);
  blocks.blockLen = 8;
  blocks.srcStride = value(Bug::kGap, 65536, 0);
  DataCopy(x, Gm<float>(gm.x), blocks);  // BUG block_count_too_large block_gap_too_large
  const DataCopyExtParams bytes(1, value(Bug::kPadLength, 1 << 21, kCount * 4), 0, 0, 0);
  const DataCopyPadExtParams<float> padding(true, 0, value(Bug::kPadding, 9, 0), 0.0f);
  DataCopyPad(y, Gm<float>(gm.y), bytes, padding);  // BUG copy_length_too_large padding_too_long
  Order<HardEvent::MTE2_V>();

  BinaryRepeatParams strides;
  strides.dstRepStride = value(Bug::kRepeatStride, 256, 8);
  strides.dstBlkStride = value(Bug::kBlockStride, 0, 1);
  const uint64_t mask = value(Bug::kMask, 65, 64);
  const int64_t repeats = value(Bug::kRepeat, 256, 4);
  Add(z, x, y, mask, repeats, strides);  // BUG repeat_too_large repeat_stride_too_large mask_too_long block_stride_zero
  PipeBarrier<PIPE_V>();
  if constexpr (bug == Bug::kOverlap) Add(z[32], z, y, 64, 3, {1, 1, 1, 8, 8, 8});  // BUG overlapping_repeats
  if constexpr (bug == Bug::kCompare) Compare(bits, x, y, CMPMODE::LT, 60);         // BUG compare_count
  if constexpr (bug == Bug::kRound) Cast(half_z, z, RoundMode::CAST_ODD, kCount / 2);
  if constexpr (bug == Bug::kRound) Cast(z, half_z, RoundMode::CAST_RINT, 64);  // BUG cast_rounding
  if constexpr (bug == Bug::kGather) {
    Duplicate(offsets, kCount * 4U, 64);
    PipeBarrier<PIPE_V>();
    Gather(z, x, offsets, 0, 64);  // BUG gather_beyond_buffer
  }
  Order<HardEvent::V_MTE3>();
  if constexpr (bug == Bug::kAtomic) SetAtomicAdd<half>();
  DataCopy(Gm<float>(gm.z), z, kCount);  // BUG atomic_of_other_type
}

constexpr uint16_t kSize = 16;
constexpr uint32_t kTile = kSize * kSize;

enum class CubeBug {
  kNone,
  kM,
  kK,
  kLoadRepeat,
  kStoreColumns,
  kStoreStride,
  kStoreRows,
  kStoreType,
  kNzStride,
  kNzRows
};

// z = x y of 16 x 16 halves.
template <CubeBug bug>
void Product(const Arguments& gm) {
  constexpr auto value = [](CubeBug wanted, int64_t wrong, int64_t right) { return bug == wanted ? wrong : right; };
  TPipe pipe;
  const auto a1 = Buffer<half, TPosition::A1>(pipe, kTile), b1 = Buffer<half, TPosition::B1>(pipe, kTile);
  const auto a2 = Buffer<half, TPosition::A2>(pipe, kTile), b2 = Buffer<half, TPosition::B2>(pipe, kTile);
  const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);

  Nd2NzParams rows(1, kSize, kSize, 0, kSize, kSize, 1, 0);
  rows.dstNzC0Stride = value(CubeBug::kNzStride, 16385, kSize);
  rows.nValue = value(CubeBug::kNzRows, 16385, kSize);
  DataCopy(a1, Gm<half>(gm.x), rows);  // BUG nz_stride_too_large nz_rows_too_many
  DataCopy(b1, Gm<half>(gm.y), kTile);
  Order<HardEvent::MTE2_MTE1>();
  LoadData2DParams load(0, 1, 1, 0, 0, false, 0);
  load.repeatTimes = value(CubeBug::kLoadRepeat, 256, 1);
  LoadData(a2, a1, load);  // BUG load_repeat_too_large
  LoadData(b2, b1, {0, 1, 1, 0, 0, true, 0});
  Order<HardEvent::MTE1_M>();
  MmadParams multiply(kSize, kSize, kSize, 0, false, true);
  multiply.m = value(CubeBug::kM, 4096, kSize);
  multiply.k = value(CubeBug::kK, -1, kSize);
  Mmad(c, a2, b2, multiply);  // BUG mmad_m_too_large mmad_k_negative
  Order<HardEvent::M_FIX>();
  FixpipeParamsV220 store(kSize, kSize, kSize, kSize, false);
  store.nSize = value(CubeBug::kStoreColumns, 4096, kSize);
  store.dstStride = value(CubeBug::kStoreStride, kSize - 1, kSize);
  store.mSize = value(CubeBug::kStoreRows, 8193, kSize);
  if constexpr (bug == CubeBug::kStoreType) store.quantPre = QuantMode_t::F322F16;
  Fixpipe(Gm<float>(gm.z), c, store);  // BUG fixpipe_columns fixpipe_rows_overlap fixpipe_rows fixpipe_type
}

// Flags between cores are 0 to 15.
template <bool broken>
void cross_core_flag_range(const Arguments&) {
  if ASCEND_IS_AIC
    CrossCoreSetFlag<2, PIPE_FIX>(broken ? 16 : 15);  // BUG cross_core_flag_range
  else CrossCoreWaitFlag(broken ? 16 : 15);
}

}  // namespace

#define VECTOR_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIV_ONLY, Sum, Bug::bug, Bug::kNone)
#define CUBE_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIC_ONLY, Product, CubeBug::bug, CubeBug::kNone)
VECTOR_BUG(repeat_too_large, kRepeat)
VECTOR_BUG(repeat_stride_too_large, kRepeatStride)
VECTOR_BUG(mask_too_long, kMask)
VECTOR_BUG(block_stride_zero, kBlockStride)
VECTOR_BUG(overlapping_repeats, kOverlap)
VECTOR_BUG(block_count_too_large, kBlockCount)
VECTOR_BUG(block_gap_too_large, kGap)
VECTOR_BUG(copy_length_too_large, kPadLength)
VECTOR_BUG(padding_too_long, kPadding)
VECTOR_BUG(atomic_of_other_type, kAtomic)
VECTOR_BUG(gather_beyond_buffer, kGather)
VECTOR_BUG(compare_count, kCompare)
VECTOR_BUG(cast_rounding, kRound)
CUBE_BUG(mmad_m_too_large, kM)
CUBE_BUG(mmad_k_negative, kK)
CUBE_BUG(load_repeat_too_large, kLoadRepeat)
CUBE_BUG(fixpipe_columns, kStoreColumns)
CUBE_BUG(fixpipe_rows_overlap, kStoreStride)
CUBE_BUG(fixpipe_rows, kStoreRows)
CUBE_BUG(fixpipe_type, kStoreType)
CUBE_BUG(nz_stride_too_large, kNzStride)
CUBE_BUG(nz_rows_too_many, kNzRows)
TWINS(cross_core_flag_range, KERNEL_TYPE_MIX_AIC_1_2)
