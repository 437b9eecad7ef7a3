// Loads of fractals into L0A, L0B and L1 behind the LoadData templates. A fractal is 16 rows of 32 bytes.
#pragma once

#include <cstdint>

#include "core_registers.h"
#include "cube_params.h"
#include "data_copy_moves.h"

namespace npufa_sim {

inline constexpr std::int64_t kFractalBytes = 512;
inline constexpr std::int64_t kFractalRows = 16;
inline constexpr std::int64_t kRowBytes = 32;

void LoadFractals(const TensorRef& dst, const TensorRef& src, Dtype dtype, const AscendC::LoadData2DParams& params,
                  Site site);
void LoadTransposed(const TensorRef& dst, const TensorRef& src, Dtype dtype,
                    const AscendC::LoadData2dTransposeParams& params, Site site);

// The parameters of both 3D forms; the feature map comes from the register.
struct FeatureMapWindow {
  std::int64_t channels = 0, k = 0, m = 0, k_start = 0, m_start = 0;
  std::int64_t stride_w = 1, stride_h = 1, filter_w = 1, filter_h = 1, dilation_w = 1, dilation_h = 1;
  bool transpose = false, large_filter = false, right_map = false;
};
void LoadFeatureMap(const TensorRef& dst, const TensorRef& src, Dtype dtype, const FeatureMapWindow& window, Site site);
void SetFeatureMapRegister(std::int64_t height, std::int64_t width, const std::uint8_t padding[4], bool right,
                           Site site);
void SetLoadRepeatRegister(const AscendC::LoadDataRepeatParam& params, Site site);
void SetLoadBoundaryRegister(std::uint32_t bytes, Site site);

// `value` holds the bits of one element.
void FillConstant(const TensorRef& dst, Dtype dtype, std::int64_t repeats, std::int64_t blocks, std::int64_t gap,
                  std::uint64_t value, Site site);

// Rows and columns of a 16 x 16 block of 2-byte elements, and of an 8 x 8 block of 4-byte elements whose rows are
// 32 bytes apart, exchanged.
void Transpose16(std::uint8_t* dst, const std::uint8_t* src);
void Transpose8(std::uint8_t* dst, const std::uint8_t* src);

}  // namespace npufa_sim
