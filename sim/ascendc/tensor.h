// LocalTensor and GlobalTensor: typed views of a core's buffers and of global memory.
#pragma once

#include <atomic>

#include "chip/core_api.h"
#include "chip/instruction.h"
#include "dtypes.h"
#include "macros.h"
#include "shape_info.h"

namespace AscendC {

enum class TPosition : uint8_t {
  GM,
  A1,
  A2,
  B1,
  B2,
  C1,
  C2,
  CO1,
  CO2,
  VECIN,
  VECOUT,
  VECCALC,
  LCM = VECCALC,
  SPM,
  SHM = SPM,
  TSCM,
  C2PIPE2GM,
  C2PIPE2LOCAL,
  MAX,
};
using QuePosition = TPosition;

enum class CacheMode { CACHE_MODE_DISABLE = 0, CACHE_MODE_NORMAL = 1, CACHE_MODE_LAST = 2, CACHE_MODE_PERSISTENT = 4 };
enum class CacheRwMode { READ = 1, WRITE = 2, RW = 3 };

using TBufHandle = uint8_t*;
using TEventID = int8_t;
constexpr TEventID INVALID_TEVENTID = static_cast<TEventID>(-1);

// Memory of the dav-2201 core a logical position lives in.
constexpr npufa_sim::Space SpaceOf(TPosition position) {
  using npufa_sim::Space;
  switch (position) {
    case TPosition::A1:
    case TPosition::B1:
    case TPosition::C1:
    case TPosition::TSCM:
    case TPosition::SPM: return Space::kL1;
    case TPosition::A2: return Space::kL0A;
    case TPosition::B2: return Space::kL0B;
    case TPosition::C2: return Space::kBT;
    case TPosition::CO1: return Space::kL0C;
    case TPosition::C2PIPE2GM: return Space::kFB;
    case TPosition::GM:
    case TPosition::CO2: return Space::kGM;
    default: return Space::kUB;
  }
}

struct TBuffAddr {
  uint32_t dataLen = 0;
  uint32_t bufferAddr = 0;
  TBufHandle bufferHandle = nullptr;
  uint8_t logicPos = 0;
};

template <class T>
constexpr uint64_t BytesOf(uint64_t elements) {
  if constexpr (std::is_same_v<T, int4b_t>) return elements / 2;
  else return elements * sizeof(T);
}

template <class T>
constexpr uint64_t ElementsOf(uint64_t bytes) {
  if constexpr (std::is_same_v<T, int4b_t>) return bytes * 2;
  else return bytes / sizeof(T);
}

}  // namespace AscendC

namespace npufa_sim {

// Tensors to compute with, and the line that names them: operators take no further argument.
template <class Tensor>
struct Sited {
  Sited(const Tensor& t, Site s = Site::Here()) : tensor(t), site(s) {}  // NOLINT: meant to convert
  const Tensor& tensor;
  Site site;
};

enum class TensorOperator {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kOr,
  kAnd,
  kLess,
  kGreater,
  kEqual,
  kLessEqual,
  kGreaterEqual,
  kUnequal
};

template <TensorOperator op, class Tensor>
struct TensorExpression {
  TensorExpression(const Sited<Tensor>& a, const Tensor& b) : src0(a.tensor), src1(b), site(a.site) {}
  // See vector_expression.h.
  template <class Result>
  void Into(const Result& dst) const;

  const Tensor &src0, &src1;
  Site site;
};

}  // namespace npufa_sim

namespace AscendC {

template <class T>
class LocalTensor {
 public:
  using PrimType = T;

  LocalTensor() = default;
  explicit LocalTensor(const TBuffAddr& address) : address_(address), end_(address.bufferAddr + address.dataLen) {
    begin_ = address.bufferAddr;
  }
  LocalTensor(TPosition position, uint32_t address, uint32_t elements)
      : LocalTensor(
            TBuffAddr{static_cast<uint32_t>(BytesOf<T>(elements)), address, nullptr, static_cast<uint8_t>(position)}) {
    declared_ = true;
  }

  LocalTensor operator[](uint32_t offset) const {
    LocalTensor view = *this;
    const uint32_t bytes = static_cast<uint32_t>(BytesOf<T>(offset));
    view.address_.bufferAddr += bytes;
    view.address_.dataLen = bytes < address_.dataLen ? address_.dataLen - bytes : 0;
    return view;
  }

  // dst = a + b computes as many elements as dst has, a comparison as many as a has.
  template <npufa_sim::TensorOperator op, class Tensor>
  void operator=(const npufa_sim::TensorExpression<op, Tensor>& expression) const {
    expression.Into(*this);
  }
#define NPUFA_SIM_OPERATOR(symbol, name)                                                            \
  friend npufa_sim::TensorExpression<npufa_sim::TensorOperator::name, LocalTensor> operator symbol( \
      npufa_sim::Sited<LocalTensor> a, const LocalTensor& b) {                                      \
    return {a, b};                                                                                  \
  }
  NPUFA_SIM_OPERATOR(+, kAdd)
  NPUFA_SIM_OPERATOR(-, kSub)
  NPUFA_SIM_OPERATOR(*, kMul)
  NPUFA_SIM_OPERATOR(/, kDiv)
  NPUFA_SIM_OPERATOR(|, kOr)
  NPUFA_SIM_OPERATOR(&, kAnd)
  NPUFA_SIM_OPERATOR(<, kLess)
  NPUFA_SIM_OPERATOR(>, kGreater)
  NPUFA_SIM_OPERATOR(==, kEqual)
  NPUFA_SIM_OPERATOR(<=, kLessEqual)
  NPUFA_SIM_OPERATOR(>=, kGreaterEqual)
  NPUFA_SIM_OPERATOR(!=, kUnequal)
#undef NPUFA_SIM_OPERATOR

  template <class U>
  LocalTensor<U> ReinterpretCast() const {
    LocalTensor<U> view;
    view.address_ = address_;
    view.begin_ = begin_;
    view.end_ = end_;
    view.declared_ = declared_;
    view.shape_ = shape_;
    return view;
  }

  T GetValue(uint32_t index, npufa_sim::Site site = npufa_sim::Site::Here()) const {
    const npufa_sim::TensorRef ref = Ref("src");
    npufa_sim::Instruction ins("GetValue", npufa_sim::Pipe::kS, site);
    ins.Read(ref, {static_cast<int64_t>(index * sizeof(T)), sizeof(T)}).Issue({npufa_sim::OpClass::kScalar, 1});
    T value;
    std::memcpy(&value, npufa_sim::Bytes(ref) + index * sizeof(T), sizeof(T));
    return value;
  }

  template <class U>
  void SetValue(uint32_t index, U value, npufa_sim::Site site = npufa_sim::Site::Here()) const {
    const npufa_sim::TensorRef ref = Ref("dst");
    npufa_sim::Instruction ins("SetValue", npufa_sim::Pipe::kS, site);
    ins.Write(ref, {static_cast<int64_t>(index * sizeof(T)), sizeof(T)}).Issue({npufa_sim::OpClass::kScalar, 1});
    const T converted = static_cast<T>(value);
    std::memcpy(npufa_sim::Bytes(ref) + index * sizeof(T), &converted, sizeof(T));
  }

  uint64_t GetPhyAddr() const { return address_.bufferAddr; }
  uint64_t GetPhyAddr(uint32_t offset) const { return address_.bufferAddr + BytesOf<T>(offset); }
  int32_t GetPosition() const { return address_.logicPos; }
  void SetAddr(uint32_t address) {
    address_.bufferAddr = address;
    begin_ = address;
    end_ = address + address_.dataLen;
    declared_ = true;
  }
  void SetAddr(const TBuffAddr& address) { *this = LocalTensor(address); }
  void InitBuffer(uint32_t address, uint32_t elements) {
    SetSize(elements);
    SetAddr(address);
  }
  void SetShapeInfo(const ShapeInfo& shape) { shape_ = &npufa_sim::Kept(shape); }
  ShapeInfo GetShapeInfo() const { return shape_ ? *shape_ : ShapeInfo(); }
  void SetSize(uint32_t elements) { address_.dataLen = static_cast<uint32_t>(BytesOf<T>(elements)); }
  uint32_t GetSize() const { return static_cast<uint32_t>(ElementsOf<T>(address_.dataLen)); }

  npufa_sim::TensorRef Ref(const char* name) const {
    return {name,     SpaceOf(static_cast<TPosition>(address_.logicPos)), address_.bufferAddr, begin_, end_, false,
            declared_};
  }

  TBuffAddr address_;

 private:
  template <class U>
  friend class LocalTensor;
  uint32_t begin_ = 0, end_ = 0;  // buffer this view was taken from
  bool declared_ = false;         // no buffer: an address of the kernel's own
  const ShapeInfo* shape_ = nullptr;
};

template <class T>
class GlobalTensor {
 public:
  using PrimType = T;

  GlobalTensor() = default;

  void SetGlobalBuffer(__gm__ T* buffer, uint64_t elements) {
    address_ = reinterpret_cast<uint64_t>(buffer);
    begin_ = address_;
    end_ = address_ + BytesOf<T>(elements);
    elements_ = elements;
  }
  void SetGlobalBuffer(__gm__ T* buffer) {
    address_ = begin_ = end_ = reinterpret_cast<uint64_t>(buffer);
    elements_ = 0;
  }

  GlobalTensor operator[](uint64_t offset) const {
    GlobalTensor view = *this;
    view.address_ += BytesOf<T>(offset);
    return view;
  }

  T GetValue(uint64_t index, npufa_sim::Site site = npufa_sim::Site::Here()) const {
    const npufa_sim::TensorRef ref = Ref("src");
    npufa_sim::PollGm(site);
    npufa_sim::Instruction ins("GetValue", npufa_sim::Pipe::kS, site);
    npufa_sim::OperandRule rule;
    rule.may_miss = true;
    ins.Read(ref, {static_cast<int64_t>(index * sizeof(T)), sizeof(T)}, rule).Issue({npufa_sim::OpClass::kScalar, 1});
    T value = {};
    const uint8_t* bytes = npufa_sim::BytesWithin(ref, index * sizeof(T), sizeof(T));
    if (bytes != nullptr) std::memcpy(&value, bytes, sizeof(T));
    npufa_sim::HaveReadWord(GetPhyAddr(index), site);
    return value;
  }

  void SetValue(uint64_t index, T value, npufa_sim::Site site = npufa_sim::Site::Here()) const {
    const npufa_sim::TensorRef ref = Ref("dst");
    npufa_sim::Instruction ins("SetValue", npufa_sim::Pipe::kS, site);
    ins.Write(ref, {static_cast<int64_t>(index * sizeof(T)), sizeof(T)}).Issue({npufa_sim::OpClass::kScalar, 1});
    npufa_sim::Publish(GetPhyAddr(index), site, false);
    std::atomic_thread_fence(std::memory_order_release);
    std::memcpy(npufa_sim::Bytes(ref) + index * sizeof(T), &value, sizeof(T));
  }

  const __gm__ T* GetPhyAddr() const { return reinterpret_cast<const T*>(address_); }
  __gm__ T* GetPhyAddr(uint64_t offset) const { return reinterpret_cast<T*>(address_ + BytesOf<T>(offset)); }
  uint64_t GetSize() const { return elements_; }
  void SetShapeInfo(const ShapeInfo& shape) { shape_ = &npufa_sim::Kept(shape); }
  ShapeInfo GetShapeInfo() const { return shape_ ? *shape_ : ShapeInfo(); }
  template <CacheRwMode rw = CacheRwMode::RW>
  void SetL2CacheHint(CacheMode mode) {
    past_l2_ = mode == CacheMode::CACHE_MODE_DISABLE;
  }

  // Without a size from the kernel (begin = end) the bounds are those of the memory the launch passed in.
  npufa_sim::TensorRef Ref(const char* name) const {
    return {name, npufa_sim::Space::kGM, address_, begin_, end_, past_l2_};
  }

 private:
  uint64_t address_ = 0, begin_ = 0, end_ = 0, elements_ = 0;
  bool past_l2_ = false;
  const ShapeInfo* shape_ = nullptr;
};

}  // namespace AscendC

namespace npufa_sim {

template <class T>
TensorRef Ref(const char* name, const AscendC::LocalTensor<T>& tensor) {
  return tensor.Ref(name);
}
template <class T>
TensorRef Ref(const char* name, const AscendC::GlobalTensor<T>& tensor) {
  return tensor.Ref(name);
}

}  // namespace npufa_sim
