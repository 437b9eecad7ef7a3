// Text and tensors printed by kernels, with the core and the line that prints.
#pragma once

#include <cassert>
#include <cstdio>
#include <string>

#include "chip/kernel_output.h"
#include "tensor.h"

namespace npufa_sim {

template <class T>
auto Printable(const T& value) {
  constexpr bool short_float = std::is_same_v<T, half> || std::is_same_v<T, bfloat16_t>;
  if constexpr (short_float) return static_cast<double>(static_cast<float>(value));
  else if constexpr (std::is_class_v<T>) return static_cast<long long>(value);
  else return value;
}

template <class... Args>
std::string FormatText(const char* format, const Args&... args) {
  const int bytes = std::snprintf(nullptr, 0, format, Printable(args)...);
  std::string text(bytes > 0 ? bytes + 1 : 1, '\0');
  std::snprintf(text.data(), text.size(), format, Printable(args)...);
  text.resize(text.size() - 1);
  return text;
}

template <class T>
std::string ElementText(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  if constexpr (std::is_same_v<T, half> || std::is_same_v<T, bfloat16_t> || std::is_same_v<T, float>) {
    return FormatText("%f", static_cast<double>(static_cast<float>(value)));
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else {
    return FormatText("%#x", static_cast<unsigned>(*bytes));
  }
}

template <class Tensor>
void PrintTensor(const Tensor& tensor, std::uint32_t tag, std::uint32_t count, std::uint32_t row, Site site) {
  using T = typename Tensor::PrimType;
  const TensorRef ref = Ref("tensor", tensor);
  std::string text =
      FormatText("DumpTensor: desc=%u, addr=%#llx, data_type=%s, position=%s, dump_size=%u\n[", tag,
                 static_cast<unsigned long long>(ref.address), NameOf(DtypeOf<T>()), NameOf(ref.space), count);
  const std::uint8_t* bytes = ReadableBytes(ref, AscendC::BytesOf<T>(count), site);
  for (std::uint32_t i = 0; bytes && i < count; ++i) {
    if (i > 0) text += row != 0 && i % row == 0 ? "],\n[" : ", ";
    text += ElementText<T>(bytes + AscendC::BytesOf<T>(i));
  }
  PrintFromKernel(text + "]\n", site);
}

}  // namespace npufa_sim

namespace AscendC {

template <class... Args>
__attribute__((always_inline)) inline void printf(const char* fmt, Args&&... args) {
  const std::uintptr_t here = npufa_sim::CodeAddress();
  npufa_sim::PrintFromKernel(npufa_sim::FormatText(fmt, args...), here);
}
template <class... Args>
__attribute__((always_inline)) inline void PRINTF(const char* fmt, Args&&... args) {
  const std::uintptr_t here = npufa_sim::CodeAddress();
  npufa_sim::PrintFromKernel(npufa_sim::FormatText(fmt, args...), here);
}

template <class T>
void DumpTensor(const LocalTensor<T>& input, uint32_t desc, uint32_t dumpSize,
                npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::PrintTensor(input, desc, dumpSize, 0, site);
}
template <class T>
void DumpTensor(const GlobalTensor<T>& input, uint32_t desc, uint32_t dumpSize,
                npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::PrintTensor(input, desc, dumpSize, 0, site);
}
template <class T>
void DumpTensor(const LocalTensor<T>& input, uint32_t desc, uint32_t dumpSize, const ShapeInfo& shapeInfo,
                npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::PrintTensor(input, desc, dumpSize, shapeInfo.shapeDim > 0 ? shapeInfo.shape[shapeInfo.shapeDim - 1] : 0,
                         site);
}
template <class T>
void DumpTensor(const GlobalTensor<T>& input, uint32_t desc, uint32_t dumpSize, const ShapeInfo& shapeInfo,
                npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::PrintTensor(input, desc, dumpSize, shapeInfo.shapeDim > 0 ? shapeInfo.shape[shapeInfo.shapeDim - 1] : 0,
                         site);
}
template <class T>
void DumpAccChkPoint(const LocalTensor<T>& tensor, uint32_t index, uint32_t countOff, uint32_t dumpSize,
                     npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::PrintTensor(tensor[countOff], index, dumpSize, 0, site);
}
inline void PrintTimeStamp(uint32_t descId, npufa_sim::Site site = npufa_sim::Site::Here()) {
  npufa_sim::PrintFromKernel(npufa_sim::FormatText("PrintTimeStamp: desc=%u\n", descId), site);
}

template <class... Args>
void AssertImpl(bool holds, npufa_sim::Site site, const char* expression, const char* format = "",
                const Args&... args) {
  if (!holds) npufa_sim::FailAssertion(expression, npufa_sim::FormatText(format, args...), site);
}

}  // namespace AscendC

namespace npufa_sim {

template <class T>
void PrintMemory(Space space, const T* address, std::uint32_t tag, std::uint32_t count, Site site) {
  const auto at = reinterpret_cast<std::uint64_t>(address);
  if (space == Space::kGM) {
    AscendC::GlobalTensor<T> tensor;
    tensor.SetGlobalBuffer(const_cast<T*>(address));
    return PrintTensor(tensor, tag, count, 0, site);
  }
  constexpr AscendC::TPosition positions[] = {AscendC::TPosition::GM, AscendC::TPosition::VECCALC,
                                              AscendC::TPosition::A1, AscendC::TPosition::A2,
                                              AscendC::TPosition::B2, AscendC::TPosition::CO1};
  PrintTensor(AscendC::LocalTensor<T>(positions[static_cast<int>(space)], static_cast<std::uint32_t>(at), count), tag,
              count, 0, site);
}

}  // namespace npufa_sim

#define NPUFA_SIM_DUMP(name, space)                                                                              \
  template <class T>                                                                                             \
  void name(const T* input, uint32_t desc, uint32_t dump_size, npufa_sim::Site site = npufa_sim::Site::Here()) { \
    npufa_sim::PrintMemory(npufa_sim::Space::space, input, desc, dump_size, site);                               \
  }
NPUFA_SIM_DUMP(asc_dump_gm, kGM)
NPUFA_SIM_DUMP(asc_dump_ubuf, kUB)
NPUFA_SIM_DUMP(asc_dump_l1buf, kL1)
NPUFA_SIM_DUMP(asc_dump_cbuf, kL0C)
#undef NPUFA_SIM_DUMP

#define ascendc_assert(expression, ...) \
  ::AscendC::AssertImpl(static_cast<bool>(expression), npufa_sim::Site::Here(), #expression, ##__VA_ARGS__)
#define ASCENDC_ASSERT(expression, behavior) \
  do {                                       \
    if (!(expression)) behavior;             \
  } while (0)
#define KERNEL_LOG(...)
