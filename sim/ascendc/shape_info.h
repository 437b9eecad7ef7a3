// Shapes that kernels attach to tensors. Instructions do not look at them; libraries and DumpTensor do.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>

namespace AscendC {

enum class DataFormat : uint8_t { ND = 0, NZ, NCHW, NC1HWC0, NHWC, NCDHW, NDC1HWC0, FRACTAL_Z_3D };

struct ShapeInfo {
  ShapeInfo() = default;
  ShapeInfo(const uint8_t shapeDimIn, const uint32_t* shapeIn, const uint8_t originalShapeDimIn,
            const uint32_t* originalShapeIn, const DataFormat dataFormatIn)
      : ShapeInfo(shapeDimIn, shapeIn, dataFormatIn) {
    originalShapeDim = originalShapeDimIn;
    for (int i = 0; i < originalShapeDim; ++i) originalShape[i] = originalShapeIn[i];
  }
  ShapeInfo(const uint8_t shapeDimIn, const uint32_t* shapeIn, const DataFormat dataFormatIn = DataFormat::ND)
      : shapeDim(shapeDimIn), originalShapeDim(shapeDimIn), dataFormat(dataFormatIn) {
    for (int i = 0; i < shapeDim; ++i) shape[i] = originalShape[i] = shapeIn[i];
  }

  uint8_t shapeDim = 0, originalShapeDim = 0;
  uint32_t shape[8] = {}, originalShape[8] = {};
  DataFormat dataFormat = DataFormat::ND;
};

}  // namespace AscendC

namespace npufa_sim {

// The same shape for the rest of the process, so that tensors that carry one stay cheap to copy.
inline const AscendC::ShapeInfo& Kept(const AscendC::ShapeInfo& shape) {
  static std::mutex mutex;
  static std::deque<AscendC::ShapeInfo> known;
  const auto same = [&](const AscendC::ShapeInfo& other) {
    return shape.shapeDim == other.shapeDim && shape.originalShapeDim == other.originalShapeDim &&
           shape.dataFormat == other.dataFormat && std::memcmp(shape.shape, other.shape, sizeof shape.shape) == 0 &&
           std::memcmp(shape.originalShape, other.originalShape, sizeof shape.originalShape) == 0;
  };
  const std::lock_guard lock(mutex);
  for (const AscendC::ShapeInfo& other : known) {
    if (same(other)) return other;
  }
  return known.emplace_back(shape);
}

}  // namespace npufa_sim
