// A sorted element is 8 bytes: its score, and its index in the upper four.
#include "vector_sort.h"

#include <algorithm>
#include <array>
#include <vector>

#include "vector_sweep.h"

namespace npufa_sim {
namespace {

constexpr std::int64_t kSorted = 32, kElementBytes = 8;

float ScoreAt(Dtype dtype, const std::uint8_t* bytes) {
  if (dtype == Dtype::kFloat) {
    float score;
    std::memcpy(&score, bytes, sizeof score);
    return score;
  }
  std::uint16_t half_bits;
  std::memcpy(&half_bits, bytes, sizeof half_bits);
  return HalfToFloat(half_bits);
}

using Element = std::array<std::uint8_t, kElementBytes>;

}  // namespace

void VectorSort32(Dtype dtype, const TensorRef& dst, const TensorRef& scores, const TensorRef& indices,
                  std::int64_t repeat, Site site) {
  constexpr const char* kName = "Sort32";
  for (const TensorRef* ref : {&dst, &scores, &indices}) RequireUnifiedBuffer(*ref, kName, site);
  Instruction ins(kName, Pipe::kV, site);
  ins.Require(repeat >= 0 && repeat <= 255, "repeatTime", repeat, "0 to 255");
  if (repeat == 0) return;
  const std::int64_t size = BitsOf(dtype) / 8, count = repeat * kSorted;
  ins.Read(scores, {0, count * size}, kBlockAligned).Read(indices, {0, count * 4}, kBlockAligned);
  ins.Write(dst, {0, count * kElementBytes}, kBlockAligned);
  ins.Issue({OpClass::kVecSort, static_cast<std::uint32_t>(repeat), static_cast<std::uint32_t>(count),
             static_cast<std::uint8_t>(size)});
  for (std::int64_t r = 0; r < repeat; ++r) {
    std::array<Element, kSorted> elements{};
    for (std::int64_t i = 0; i < kSorted; ++i) {
      std::memcpy(elements[i].data(), Bytes(scores) + (r * kSorted + i) * size, size);
      std::memcpy(elements[i].data() + 4, Bytes(indices) + (r * kSorted + i) * 4, 4);
    }
    std::stable_sort(elements.begin(), elements.end(), [&](const Element& a, const Element& b) {
      return ScoreAt(dtype, a.data()) > ScoreAt(dtype, b.data());
    });
    std::memcpy(Bytes(dst) + r * kSorted * kElementBytes, elements.data(), sizeof elements);
  }
}

void VectorMergeSort(Dtype dtype, const TensorRef& dst, const MergeCall& call, std::uint16_t merged[4], Site site) {
  constexpr const char* kName = "MrgSort";
  RequireUnifiedBuffer(dst, kName, site);
  Instruction ins(kName, Pipe::kV, site);
  ins.Require(call.repeat >= 0 && call.repeat <= 255, "repeatTimes", call.repeat, "0 to 255");
  ins.Require(call.valid[0] && call.valid[1] && (call.valid[2] || !call.valid[3]), "validBit",
              call.valid[0] | call.valid[1] << 1 | call.valid[2] << 2 | call.valid[3] << 3, "0b11, 0b111 or 0b1111");
  std::int64_t total = 0;
  for (int i = 0; i < 4; ++i) {
    merged[i] = 0;
    if (!call.valid[i]) continue;
    const std::int64_t elements = call.lists[i].elements;
    RequireUnifiedBuffer(call.lists[i].ref, kName, site);
    ins.Require(elements >= 0 && elements <= 4095, "elementLengths", elements, "0 to 4095");
    ins.Require(call.repeat == 1 || elements == call.lists[0].elements, "elementLengths", elements,
                "the same for all lists with more than one repeat");
    ins.Require(call.repeat == 1 || call.valid[3], "validBit", 0, "0b1111 with more than one repeat");
    total += elements;
  }
  if (call.repeat == 0 || total == 0) return;
  // Repeats follow each other: four lists, then the next four.
  for (const SortedList& list : call.lists) {
    if (!call.valid[&list - call.lists]) continue;
    ins.Read(list.ref, {0, list.elements * kElementBytes, 1, 0, call.repeat, total * kElementBytes}, kBlockAligned);
  }
  ins.Write(dst, {0, call.repeat * total * kElementBytes}, kBlockAligned);
  ins.Issue({OpClass::kVecSort, static_cast<std::uint32_t>(call.repeat * total / kSorted + 1),
             static_cast<std::uint32_t>(call.repeat * total), static_cast<std::uint8_t>(BitsOf(dtype) / 8)});
  for (std::int64_t r = 0; r < call.repeat; ++r) {
    std::vector<Element> out;
    std::int64_t taken[4] = {};
    const auto at = [&](int i) { return Bytes(call.lists[i].ref) + (r * total + taken[i]) * kElementBytes; };
    while (true) {
      int best = -1;
      bool one_is_empty = false;
      for (int i = 0; i < 4; ++i) {
        if (!call.valid[i]) continue;
        if (taken[i] == call.lists[i].elements) {
          one_is_empty = true;
        } else if (best < 0 || ScoreAt(dtype, at(i)) > ScoreAt(dtype, at(best))) {
          best = i;
        }
      }
      if (best < 0 || (one_is_empty && call.stop_when_one_is_empty)) break;
      std::memcpy(out.emplace_back().data(), at(best), kElementBytes);
      ++taken[best];
    }
    std::memcpy(Bytes(dst) + r * total * kElementBytes, out.data(), out.size() * kElementBytes);
    for (int i = 0; i < 4; ++i) merged[i] = static_cast<std::uint16_t>(taken[i]);
  }
  OfVectorCore().merged = 0;
  for (int i = 3; i >= 0; --i) OfVectorCore().merged = OfVectorCore().merged << 16 | merged[i];
}

}  // namespace npufa_sim
