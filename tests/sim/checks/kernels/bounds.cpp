// Copies and instructions that leave their memory, and memory that is not theirs. Vector kernels: z = x + 1 of 256
// floats.
#include "checks.h"

namespace {

constexpr uint32_t kCount = 256;

enum class Bug {
  kNone,
  kGmRead,
  kGmWrite,
  kGmSize,
  kUb,
  kUbVector,
  kUbOffset,
  kWriteInput,
  kNull,
  kUbAddress,
  kUbLength,
  kOperand
};

template <Bug bug>
void AddOne(const Arguments& gm) {
  TPipe pipe;
  const auto in = Buffer<float>(pipe, kCount), out = Buffer<float>(pipe, kCount);
  const uint32_t last = kCount - 8;
  GlobalTensor<float> x, z;
  x.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(bug == Bug::kNull ? nullptr : gm.x),
                    bug == Bug::kGmSize ? kCount - 8 : kCount);
  z.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(bug == Bug::kWriteInput ? gm.x : gm.z));
  DataCopy(in, x, last);           // BUG null_tensor
  DataCopy(in[last], x[last], 8);  // BUG off_by_one_set_global_buffer
  if constexpr (bug == Bug::kGmRead) DataCopy(in[last], Gm<float>(gm.x)[kCount - 7], 8);  // BUG off_by_one_gm_read
  if constexpr (bug == Bug::kUb) DataCopy(in[last], x[last - 8], 16);                     // BUG off_by_one_ub
  if constexpr (bug == Bug::kUbAddress) DataCopy(in[last - 1], x[last], 8);               // BUG misaligned_ub_address
  if constexpr (bug == Bug::kUbLength) DataCopy(in[last], x[last], 7);                    // BUG length_not_whole_blocks
  Order<HardEvent::MTE2_V>();
  if constexpr (bug == Bug::kOperand) Adds(out, in[1], 1.0f, kCount - 8);  // BUG misaligned_vector_operand
  Adds(out, in, 1.0f, bug == Bug::kUbVector ? kCount + 1 : kCount);        // BUG off_by_one_vector
  Order<HardEvent::V_MTE3>();
  DataCopy(z, out, last);                                                                 // BUG write_to_input
  DataCopy(z[last], out[bug == Bug::kUbOffset ? last + 8 : last], 8);                     // BUG off_by_one_ub_read
  if constexpr (bug == Bug::kGmWrite) DataCopyPad(z[kCount - 7], out, {1, 32, 0, 0, 0});  // BUG off_by_one_gm_write
}

constexpr uint16_t kSize = 16;
constexpr uint32_t kTile = kSize * kSize;

enum class CubeBug { kNone, kL1, kL1Read, kL0A, kL0B, kL0C, kLeft, kRight, kMisaligned, kSwapped, kFixpipe, kGmWrite };

// z = x y, one fractal of each.
template <CubeBug bug>
void Product(const Arguments& gm) {
  TPipe pipe;
  const auto a1 = Buffer<half, TPosition::A1>(pipe, kTile), b1 = Buffer<half, TPosition::B1>(pipe, kTile);
  const auto a2 = Buffer<half, TPosition::A2>(pipe, bug == CubeBug::kMisaligned ? 2 * kTile : kTile);
  const auto b2 = Buffer<half, TPosition::B2>(pipe, kTile);
  const auto c = Buffer<float, TPosition::CO1>(pipe, kTile);
  DataCopy(a1, Gm<half>(gm.x), bug == CubeBug::kL1 ? kTile + 16 : kTile);  // BUG off_by_one_l1
  DataCopy(b1, Gm<half>(gm.y), kTile);
  Order<HardEvent::MTE2_MTE1>();
  const uint16_t start = bug == CubeBug::kL1Read ? 1 : 0;
  const LoadData2DParams left(start, bug == CubeBug::kL0A ? 2 : 1, 0, 0, 0, false, 0);
  const LoadData2DParams right(0, bug == CubeBug::kL0B ? 2 : 1, 0, 0, 0, true, 0);
  // BUG off_by_one_l0a off_by_one_l1_read misaligned_l0a
  LoadData(bug == CubeBug::kMisaligned ? a2[16] : a2, a1, left);
  LoadData(b2, b1, right);  // BUG off_by_one_l0b
  Order<HardEvent::MTE1_M>();
  const uint16_t m = bug == CubeBug::kLeft ? kSize + 1 : kSize, n = bug == CubeBug::kRight ? kSize + 1 : kSize;
  const auto result = bug == CubeBug::kL0C ? c[kTile] : c;
  const MmadParams multiply(m, n, kSize, 0, false, true);
  if constexpr (bug == CubeBug::kSwapped) Mmad(result, b2, a2, multiply);  // BUG wrong_memory_of_mmad
  else Mmad(result, a2, b2, multiply);  // BUG mmad_beyond_l0a mmad_beyond_l0b off_by_one_l0c
  Order<HardEvent::M_FIX>();
  const uint16_t rows = bug == CubeBug::kFixpipe ? kSize + 1 : kSize;
  const auto z = Gm<float>(gm.z)[bug == CubeBug::kGmWrite ? 1 : 0];
  Fixpipe(z, c, {kSize, rows, rows, kSize, false});  // BUG fixpipe_beyond_l0c fixpipe_beyond_gm
}

// A vector instruction works on UB.
template <bool broken>
void vector_on_l1(const Arguments& gm) {
  TPipe pipe;
  const auto ub = Buffer<float>(pipe, kCount);
  const LocalTensor<float> other(TBuffAddr{kCount * 4, 0, nullptr, static_cast<uint8_t>(TPosition::A1)});
  DataCopy(ub, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_V>();
  Adds(broken ? other : ub, ub, 1.0f, kCount);  // BUG vector_on_l1
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(gm.z), ub, kCount);
}

// There is no way from UB to L1 on split cores; z = x.
template <bool broken>
void no_path_from_ub_to_l1(const Arguments& gm) {
  TPipe pipe;
  const auto ub = Buffer<float>(pipe, kCount);
  const LocalTensor<float> l1(TBuffAddr{kCount * 4, 0, nullptr, static_cast<uint8_t>(TPosition::A1)});
  DataCopy(ub, Gm<float>(gm.x), kCount);
  Order<HardEvent::MTE2_MTE3>();
  if constexpr (broken) DataCopy(l1, ub, kCount);  // BUG no_path_from_ub_to_l1
  DataCopy(Gm<float>(gm.z), ub, kCount);
}

}  // namespace

#define VECTOR_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIV_ONLY, AddOne, Bug::bug, Bug::kNone)
#define CUBE_BUG(name, bug) TWINS_OF(name, KERNEL_TYPE_AIC_ONLY, Product, CubeBug::bug, CubeBug::kNone)
VECTOR_BUG(off_by_one_gm_read, kGmRead)
VECTOR_BUG(off_by_one_gm_write, kGmWrite)
VECTOR_BUG(off_by_one_set_global_buffer, kGmSize)
VECTOR_BUG(off_by_one_ub, kUb)
VECTOR_BUG(off_by_one_ub_read, kUbOffset)
VECTOR_BUG(off_by_one_vector, kUbVector)
VECTOR_BUG(write_to_input, kWriteInput)
VECTOR_BUG(null_tensor, kNull)
VECTOR_BUG(misaligned_ub_address, kUbAddress)
VECTOR_BUG(length_not_whole_blocks, kUbLength)
VECTOR_BUG(misaligned_vector_operand, kOperand)
CUBE_BUG(off_by_one_l1, kL1)
CUBE_BUG(off_by_one_l1_read, kL1Read)
CUBE_BUG(off_by_one_l0a, kL0A)
CUBE_BUG(off_by_one_l0b, kL0B)
CUBE_BUG(off_by_one_l0c, kL0C)
CUBE_BUG(mmad_beyond_l0a, kLeft)
CUBE_BUG(mmad_beyond_l0b, kRight)
CUBE_BUG(misaligned_l0a, kMisaligned)
CUBE_BUG(wrong_memory_of_mmad, kSwapped)
CUBE_BUG(fixpipe_beyond_l0c, kFixpipe)
CUBE_BUG(fixpipe_beyond_gm, kGmWrite)
TWINS(vector_on_l1, KERNEL_TYPE_AIV_ONLY)
TWINS(no_path_from_ub_to_l1, KERNEL_TYPE_AIV_ONLY)
