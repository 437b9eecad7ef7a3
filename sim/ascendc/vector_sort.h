// Sorting by score: 32 elements at a time, then up to four sorted lists into one.
#pragma once

#include "vector_registers.h"
#include "vector_tensor.h"

namespace npufa_sim {

struct SortedList {
  TensorRef ref;
  std::int64_t elements;
};
struct MergeCall {
  SortedList lists[4];
  bool valid[4];
  bool stop_when_one_is_empty;
  std::int64_t repeat;
};
void VectorSort32(Dtype dtype, const TensorRef& dst, const TensorRef& scores, const TensorRef& indices,
                  std::int64_t repeat, Site site);
// `merged`: elements taken from each list, for GetMrgSortResult.
void VectorMergeSort(Dtype dtype, const TensorRef& dst, const MergeCall& call, std::uint16_t merged[4], Site site);

}  // namespace npufa_sim

namespace AscendC {

struct MrgSort4Info {
  MrgSort4Info() = default;
  MrgSort4Info(const uint16_t elementLengthsIn[MRG_SORT_ELEMENT_LEN], const bool ifExhaustedSuspensionIn,
               const uint16_t validBitIn, const uint16_t repeatTimesIn)
      : ifExhaustedSuspension(ifExhaustedSuspensionIn), validBit(validBitIn), repeatTimes(repeatTimesIn) {
    for (int i = 0; i < MRG_SORT_ELEMENT_LEN; ++i) elementLengths[i] = elementLengthsIn[i];
  }

  uint16_t elementLengths[MRG_SORT_ELEMENT_LEN] = {0};
  bool ifExhaustedSuspension = false;
  uint16_t validBit = 0;
  uint8_t repeatTimes = 1;
};

template <class T>
struct MrgSortSrcList {
  MrgSortSrcList() = default;
  MrgSortSrcList(const LocalTensor<T>& src1In, const LocalTensor<T>& src2In, const LocalTensor<T>& src3In,
                 const LocalTensor<T>& src4In)
      : src1(src1In), src2(src2In), src3(src3In), src4(src4In) {}

  LocalTensor<T> src1, src2, src3, src4;
};

template <class T>
void Sort32(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<uint32_t>& src1,
            const int32_t repeatTime, npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float>, "Sort32 supports half and float");
  if ASCEND_IS_AIV
    npufa_sim::VectorSort32(npufa_sim::DtypeOf<T>(), npufa_sim::Ref("dst", dst), npufa_sim::Ref("src0", src0),
                            npufa_sim::Ref("src1", src1), repeatTime, site);
}

template <class T, bool isExhaustedSuspension = false>
void MrgSort(const LocalTensor<T>& dst, const MrgSortSrcList<T>& sortList, const uint16_t elementCountList[4],
             uint32_t sortedNum[4], uint16_t validBit, const int32_t repeatTime,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  static_assert(npufa_sim::kOneOf<T, half, float>, "MrgSort supports half and float");
  if ASCEND_IS_AIV {
    const LocalTensor<T>* lists[4] = {&sortList.src1, &sortList.src2, &sortList.src3, &sortList.src4};
    npufa_sim::MergeCall call{{}, {}, isExhaustedSuspension, repeatTime};
    for (int i = 0; i < 4; ++i) {
      call.lists[i] = {npufa_sim::Ref("src", *lists[i]), elementCountList[i]};
      call.valid[i] = validBit >> i & 1;
    }
    uint16_t merged[4];
    npufa_sim::VectorMergeSort(npufa_sim::DtypeOf<T>(), npufa_sim::Ref("dst", dst), call, merged, site);
    for (int i = 0; i < 4; ++i) sortedNum[i] = merged[i];
  }
}

template <class T>
void MrgSort(const LocalTensor<T>& dst, const MrgSortSrcList<T>& src, const MrgSort4Info& params,
             npufa_sim::Site site = npufa_sim::Site::Here()) {
  uint32_t sorted[4];
  if (params.ifExhaustedSuspension) {
    MrgSort<T, true>(dst, src, params.elementLengths, sorted, params.validBit, params.repeatTimes, site);
  } else {
    MrgSort<T, false>(dst, src, params.elementLengths, sorted, params.validBit, params.repeatTimes, site);
  }
}

// Elements that the last MrgSort took from each list.
inline void GetMrgSortResult(uint16_t& mrgSortList1, uint16_t& mrgSortList2, uint16_t& mrgSortList3,
                             uint16_t& mrgSortList4) {
  if ASCEND_IS_AIV {
    const uint64_t taken = npufa_sim::OfVectorCore().merged;
    mrgSortList1 = static_cast<uint16_t>(taken);
    mrgSortList2 = static_cast<uint16_t>(taken >> 16);
    mrgSortList3 = static_cast<uint16_t>(taken >> 32);
    mrgSortList4 = static_cast<uint16_t>(taken >> 48);
  }
}

}  // namespace AscendC
