// How Fixpipe and DataCopy from L0C come by their parameters.
#include "core_registers.h"
#include "fixpipe_convert.h"
#include "fixpipe_move.h"

namespace npufa_sim {

void SetNz2ndRegister(std::int64_t matrices, std::int64_t src_stride, std::int64_t dst_stride, Site site) {
  if (!CoreHas(Space::kL0C)) return;
  Instruction("SetFixpipeNz2ndFlag", Pipe::kS, site)
      .Require(src_stride >= 0 && src_stride <= 512, "srcNdStride", src_stride, "0 to 512");
  Registers().nz2nd = static_cast<std::uint64_t>(matrices | src_stride << 16 | dst_stride << 32);
}

void SetQuantScalarRegister(std::uint64_t value) {
  if (CoreHas(Space::kL0C)) Registers().quant_scalar = value;
}

void SetQuantTableRegister(const TensorRef& table, Site site) {
  if (!CoreHas(Space::kL0C)) return;
  if (table.space != Space::kFB) Unsupported(site, "SetFixPipeConfig", "with a table outside the fixpipe buffer");
  Registers().quant_table = table.address | kRegisterSet;
}

void RunFixpipe(const TensorRef& dst, Dtype dst_type, const TensorRef& src, Dtype src_type, const TensorRef* scales,
                const AscendC::FixpipeParamsV220& params, bool row_major, Site site) {
  constexpr const char* kName = "Fixpipe";
  if (!CoreHas(Space::kL0C)) return;
  if (scales && scales->space != Space::kL1) Unsupported(site, kName, "with scales outside L1");
  const std::int64_t matrices = params.ndNum.value(), src_matrix = params.srcNdStride.value();
  const std::int64_t dst_matrix = params.dstNdStride.value();
  if (row_major) SetNz2ndRegister(matrices, src_matrix, dst_matrix, site);
  if (IsScaled(params.quantPre) && !IsPerColumn(params.quantPre)) SetQuantScalarRegister(params.deqScalar);
  PipeBarrier(Pipe::kFIX, site);
  FixpipeMove move{};
  move.n = params.nSize.value();
  move.m = params.mSize.value();
  move.src_stride = params.srcStride.value();
  move.dst_stride = params.dstStride.value();
  move.matrices = row_major ? matrices : 1;
  move.src_matrix = src_matrix;
  move.dst_matrix = dst_matrix;
  move.mode = params.quantPre;
  move.relu = params.reluEn;
  move.row_major = row_major;
  move.channel_split = params.isChannelSplit;
  move.unit_flag = static_cast<int>(params.unitFlag.value());
  move.scales = scales;
  move.scale = params.deqScalar;
  MoveFromL0c(kName, dst, dst_type, src, src_type, move, site);
}

void RunFixpipe(const TensorRef& dst, Dtype dst_type, const TensorRef& src, Dtype src_type,
                const AscendC::DataCopyCO12DstParams& params, Site site) {
  constexpr const char* kName = "DataCopy";
  if (!CoreHas(Space::kL0C)) return;
  const CoreRegisters& registers = Registers();
  if (params.clipReluPre != 0 || params.eltWiseOp != 0) {
    Unsupported(site, kName, "from L0C with clip ReLU or an elementwise operand");
  }
  if (params.nz2ndEn && registers.nz2nd == 0) {
    Fault("parameter", site, kName, "rows in order without SetFixpipeNz2ndFlag before",
          "call it with the number of matrices");
  }
  FixpipeMove move{};
  move.n = params.nSize.value();
  move.m = params.mSize.value();
  move.src_stride = params.srcStride.value();
  move.dst_stride = params.dstStride.value();
  move.matrices = params.nz2ndEn ? static_cast<std::int64_t>(registers.nz2nd & 0xffff) : 1;
  move.src_matrix = static_cast<std::int64_t>(registers.nz2nd >> 16 & 0xffff);
  move.dst_matrix = static_cast<std::int64_t>(registers.nz2nd >> 32 & 0xffff);
  move.mode = params.quantPre;
  move.relu = params.reluPre != 0;
  move.row_major = params.nz2ndEn;
  move.channel_split = params.channelSplit;
  move.unit_flag = static_cast<int>(params.unitFlag.value());
  move.scale = registers.quant_scalar;
  const TensorRef table{"quantPre", Space::kFB, registers.quant_table & ~kRegisterSet, 0, SpaceBytes(Space::kFB)};
  if (registers.quant_table & kRegisterSet) move.scales = &table;
  MoveFromL0c(kName, dst, dst_type, src, src_type, move, site);
}

}  // namespace npufa_sim
