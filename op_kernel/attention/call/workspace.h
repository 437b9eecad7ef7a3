// The part of global memory through which the cube and the vector cores of one group exchange tiles.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "stored_types.h"

namespace npufa {

// Sums, maxima and softmax sums of the rows of one part of a cut tile.
struct PartialRows {
  AscendC::GlobalTensor<float> sums;
  AscendC::GlobalTensor<float> maximum;
  AscendC::GlobalTensor<float> sum;
};

// T: what the cube multiplies.
template <typename T>
class GroupWorkspace {
 public:
  __aicore__ inline void Init(GM_ADDR workspace, const ForwardTiling& tiling, uint32_t group) {
    tiling_ = &tiling;
    parts_ = workspace;
    GM_ADDR next = workspace + tiling.parts * tiling.partBytes + group * GroupBytes(tiling);
    scores_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(next), tiling.scoreBytes / sizeof(float));
    next += tiling.scoreBytes;
    probabilities_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(next), tiling.probabilityBytes / sizeof(T));
    next += tiling.probabilityBytes;
    products_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(next), tiling.productBytes / sizeof(float));
    next += tiling.productBytes;
    queries_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(next), tiling.queryBytes / sizeof(T));
    next += tiling.queryBytes;
    keys_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(next), tiling.keyBytes / sizeof(T));
    next += tiling.keyBytes;
    values_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(next), tiling.valueBytes / sizeof(T));
  }

  // Row `row` of the slot's scores and probabilities (pitch ScorePitch) and of its products (pitch ProductPitch).
  __aicore__ inline AscendC::GlobalTensor<float> Scores(uint32_t slot, uint32_t row) const {
    return scores_[static_cast<uint64_t>(slot * tiling_->slotRows + row) * tiling_->stepColumns];
  }
  __aicore__ inline AscendC::GlobalTensor<T> Probabilities(uint32_t slot, uint32_t row) const {
    return probabilities_[static_cast<uint64_t>(slot * tiling_->slotRows + row) * tiling_->stepColumns];
  }
  __aicore__ inline AscendC::GlobalTensor<float> Products(uint32_t slot, uint32_t row) const {
    return products_[static_cast<uint64_t>(slot * tiling_->slotRows + row) * tiling_->productPitch];
  }
  __aicore__ inline uint32_t ScorePitch() const { return tiling_->stepColumns; }
  __aicore__ inline uint32_t ProductPitch() const { return tiling_->productPitch; }

  // Converted rows of a step.
  __aicore__ inline AscendC::GlobalTensor<T> Queries(uint32_t slot, uint32_t row) const {
    return queries_[static_cast<uint64_t>(slot * tiling_->slotRows + row) * tiling_->keyPitch];
  }
  __aicore__ inline AscendC::GlobalTensor<T> Keys(uint32_t slot, uint32_t row) const {
    return keys_[static_cast<uint64_t>(slot * tiling_->stepColumns + row) * tiling_->keyPitch];
  }
  __aicore__ inline AscendC::GlobalTensor<T> Values(uint32_t slot, uint32_t row) const {
    return values_[static_cast<uint64_t>(slot * tiling_->stepColumns + row) * tiling_->valuePitch];
  }

  // Row `row` of a part of a cut tile, of any group.
  __aicore__ inline PartialRows Part(uint32_t part, uint32_t row) const {
    __gm__ float* sums = reinterpret_cast<__gm__ float*>(parts_ + part * tiling_->partBytes);
    __gm__ float* maximum = sums + static_cast<uint64_t>(tiling_->partRows) * tiling_->productPitch;
    PartialRows rows;
    rows.sums.SetGlobalBuffer(sums + static_cast<uint64_t>(row) * tiling_->productPitch);
    rows.maximum.SetGlobalBuffer(maximum + row);
    rows.sum.SetGlobalBuffer(maximum + tiling_->partRows + row);
    return rows;
  }

 private:
  __aicore__ inline static uint64_t GroupBytes(const ForwardTiling& tiling) {
    return tiling.scoreBytes + tiling.probabilityBytes + tiling.productBytes + tiling.queryBytes + tiling.keyBytes +
           tiling.valueBytes;
  }

  const ForwardTiling* tiling_;
  GM_ADDR parts_;
  AscendC::GlobalTensor<float> scores_;
  AscendC::GlobalTensor<T> probabilities_;
  AscendC::GlobalTensor<float> products_;
  AscendC::GlobalTensor<T> queries_;
  AscendC::GlobalTensor<T> keys_;
  AscendC::GlobalTensor<T> values_;
};

template <typename T, typename Stored>
using Workspace = GroupWorkspace<typename CubeOperand<T, Stored>::Type>;

}  // namespace npufa
