// DataCopy of slices: every so many elements of every so many rows, and so on outwards.
#pragma once

#include <vector>

#include "data_copy.h"

namespace npufa_sim {

// Calls f(offset in elements) for each row of a slice.
template <class F>
void ForEachSliceRow(const AscendC::SliceInfo slices[], std::uint32_t dims, std::uint64_t size, std::uint32_t dim,
                     std::uint64_t offset, const F& f) {
  if (dim == dims) return f(offset);
  const AscendC::SliceInfo& s = slices[dim];
  for (std::uint64_t i = s.startIndex; i <= s.endIndex; i += 1 + s.stride) {
    ForEachSliceRow(slices, dims, size * s.shapeValue, dim + 1, offset + i * size, f);
  }
}

template <class T>
void CopySlices(const AscendC::LocalTensor<T>& local, const AscendC::SliceInfo local_slices[],
                const AscendC::GlobalTensor<T>& global, const AscendC::SliceInfo global_slices[], std::uint32_t dims,
                bool to_local, Site site) {
  const AscendC::SliceInfo& inner = global_slices[0];
  const std::uint64_t piece = std::uint64_t{inner.burstLen} * 32 / sizeof(T);
  const auto pieces =
      static_cast<std::uint16_t>((inner.endIndex - inner.startIndex + 1 + inner.stride) / (piece + inner.stride));
  std::vector<std::uint64_t> rows;
  ForEachSliceRow(local_slices, dims, local_slices[0].shapeValue, 1, local_slices[0].startIndex,
                  [&](std::uint64_t offset) { rows.push_back(offset); });
  std::size_t row = 0;
  ForEachSliceRow(global_slices, dims, inner.shapeValue, 1, inner.startIndex, [&](std::uint64_t offset) {
    const AscendC::LocalTensor<T> here = local[static_cast<std::uint32_t>(rows.at(row++))];
    const auto bytes = static_cast<std::uint32_t>(piece * sizeof(T));
    const auto gap = static_cast<std::uint32_t>(inner.stride * sizeof(T));
    const auto blocks = static_cast<std::uint32_t>(local_slices[0].stride * sizeof(T) / 32);
    if (to_local) {
      DataCopyPad(here, global[offset], AscendC::DataCopyExtParams(pieces, bytes, gap, blocks, 0),
                  AscendC::DataCopyPadExtParams<T>(), site);
    } else {
      DataCopyPad(global[offset], here, AscendC::DataCopyExtParams(pieces, bytes, blocks, gap, 0), site);
    }
  });
}

}  // namespace npufa_sim

namespace AscendC {

template <class T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const SliceInfo dstSliceInfo[],
              const SliceInfo srcSliceInfo[], const uint32_t dimValue = 1,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopySlices(dst, dstSliceInfo, src, srcSliceInfo, dimValue, true, site);
}
template <class T>
void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const SliceInfo dstSliceInfo[],
              const SliceInfo srcSliceInfo[], const uint32_t dimValue = 1,
              npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::CopySlices(src, srcSliceInfo, dst, dstSliceInfo, dimValue, false, site);
}

}  // namespace AscendC
