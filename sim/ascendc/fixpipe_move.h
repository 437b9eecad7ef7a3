// From L0C to GM or L1: what Fixpipe and DataCopy with DataCopyCO12DstParams have in common.
#pragma once

#include "cube_params.h"
#include "data_copy_moves.h"

namespace npufa_sim {

struct FixpipeMove {
  std::int64_t n, m;            // elements
  std::int64_t src_stride;      // of 16 elements, between columns of fractals
  std::int64_t dst_stride;      // row_major: elements of a row; else 32 bytes between columns of fractals
  std::int64_t matrices = 1;    // row_major
  std::int64_t src_matrix = 0;  // 1024 bytes
  std::int64_t dst_matrix = 0;  // elements
  QuantMode_t mode;
  bool relu, row_major, channel_split;
  int unit_flag;
  const TensorRef* scales = nullptr;  // a 64-bit parameter per column, in L1 or in the fixpipe buffer
  std::uint64_t scale = 0;            // or one for all
};

// The fields of Fixpipe, which sets the registers and waits for the pipe itself.
void RunFixpipe(const TensorRef& dst, Dtype dst_type, const TensorRef& src, Dtype src_type, const TensorRef* scales,
                const AscendC::FixpipeParamsV220& params, bool row_major, Site site);
// DataCopy takes them from the registers.
void RunFixpipe(const TensorRef& dst, Dtype dst_type, const TensorRef& src, Dtype src_type,
                const AscendC::DataCopyCO12DstParams& params, Site site);

void MoveFromL0c(const char* name, const TensorRef& dst, Dtype dst_type, const TensorRef& src, Dtype src_type,
                 const FixpipeMove& move, Site site);

void SetNz2ndRegister(std::int64_t matrices, std::int64_t src_stride, std::int64_t dst_stride, Site site);
void SetQuantScalarRegister(std::uint64_t value);
void SetQuantTableRegister(const TensorRef& table, Site site);

}  // namespace npufa_sim
