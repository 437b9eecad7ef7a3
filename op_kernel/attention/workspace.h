// The part of global memory through which the cube and the vector cores of one group exchange tiles.
#pragma once

#include "forward_tiling.h"
#include "utils.h"

namespace npufa {

template <typename T>
class GroupWorkspace {
 public:
  __aicore__ inline void Init(GM_ADDR workspace, const ForwardTiling& tiling, uint32_t group) {
    scorePitch_ = tiling.stepColumns;
    productPitch_ = tiling.productPitch;
    rows_ = tiling.tileRows;
    GM_ADDR scores = workspace + group * (tiling.scoreBytes + tiling.probabilityBytes + tiling.productBytes);
    GM_ADDR probabilities = scores + tiling.scoreBytes;
    GM_ADDR products = probabilities + tiling.probabilityBytes;
    scores_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(scores), tiling.scoreBytes / sizeof(float));
    probabilities_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(probabilities), tiling.probabilityBytes / sizeof(T));
    products_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(products), tiling.productBytes / sizeof(float));
  }

  // Row `row` of the slot's scores and probabilities (pitch ScorePitch) and of its products (pitch ProductPitch).
  __aicore__ inline AscendC::GlobalTensor<float> Scores(uint32_t slot, uint32_t row) const {
    return scores_[static_cast<uint64_t>(slot * rows_ + row) * scorePitch_];
  }
  __aicore__ inline AscendC::GlobalTensor<T> Probabilities(uint32_t slot, uint32_t row) const {
    return probabilities_[static_cast<uint64_t>(slot * rows_ + row) * scorePitch_];
  }
  __aicore__ inline AscendC::GlobalTensor<float> Products(uint32_t slot, uint32_t row) const {
    return products_[static_cast<uint64_t>(slot * rows_ + row) * productPitch_];
  }
  __aicore__ inline uint32_t ScorePitch() const { return scorePitch_; }
  __aicore__ inline uint32_t ProductPitch() const { return productPitch_; }

 private:
  AscendC::GlobalTensor<float> scores_;
  AscendC::GlobalTensor<T> probabilities_;
  AscendC::GlobalTensor<float> products_;
  uint32_t scorePitch_;
  uint32_t productPitch_;
  uint32_t rows_;
};

}  // namespace npufa
