// Reductions of each repeat, block and pair.
#include <algorithm>
#include <vector>

#include "chip/core_api.h"
#include "vector_registers.h"
#include "vector_fold.h"
#include "vector_sweep.h"

namespace npufa_sim {
namespace {

void StoreAs(Dtype dtype, std::uint8_t* at, float value) {
  if (dtype == Dtype::kHalf) {
    const std::uint16_t bits = FloatToHalf(value);
    std::memcpy(at, &bits, sizeof bits);
  } else {
    std::memcpy(at, &value, sizeof value);
  }
}

// Elements [0, count) of a repeat, block by block.
void LoadFirst(Dtype dtype, const std::uint8_t* src, std::int64_t block_bytes, std::int64_t count, float* value) {
  if (dtype == Dtype::kFloat && block_bytes == kBlockBytes) {
    std::memcpy(value, src, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  const std::int64_t per_block = kBlockBytes * 8 / BitsOf(dtype);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const std::uint8_t* at = src + i / per_block * block_bytes + i % per_block * BitsOf(dtype) / 8;
    const int n = static_cast<int>(std::min<std::int64_t>(kLanes, count - i));
    const LanesF lanes = dtype == Dtype::kHalf ? LoadSome<half>(reinterpret_cast<const std::uint16_t*>(at), n)
                                               : LoadSome<float>(reinterpret_cast<const float*>(at), n);
    std::memcpy(value + i, &lanes, static_cast<std::size_t>(n) * sizeof(float));
  }
}

// A source in the form reductions work on.
class RepeatSource {
 public:
  RepeatSource(const VectorInstruction& ins, const VectorTensor& src, float neutral)
      : ins_(ins), src_(src), neutral_(neutral), bytes_(Bytes(src.ref)) {}

  void Load(std::int64_t repeat, RepeatValues& values) const {
    const ActiveElements& active = ins_.active();
    const int lanes = static_cast<int>(ins_.lanes());
    const std::uint8_t* start = bytes_ + repeat * src_.stride.repeat * kBlockBytes;
    const std::int64_t block_bytes = src_.stride.block * kBlockBytes;
    const std::int64_t count = repeat + 1 < active.repeats ? active.full : active.last;
    LoadFirst(src_.dtype, start, block_bytes, active.by_bits ? lanes : count, values.value);
    if (active.by_bits) {
      for (int i = 0; i < lanes; ++i) {
        if (!active.Has(repeat, i)) values.value[i] = neutral_;
      }
    } else {
      std::fill(values.value + count, values.value + lanes, neutral_);
    }
  }

 private:
  const VectorInstruction& ins_;
  const VectorTensor& src_;
  float neutral_;
  const std::uint8_t* bytes_;
};

// First element that takes part and equals the extreme.
std::int64_t IndexOf(const ActiveElements& active, std::int64_t repeat, const RepeatValues& values, int lanes,
                     float extreme) {
  for (int i = 0; i < lanes; ++i) {
    const bool equal = values.value[i] == extreme || (extreme != extreme && values.value[i] != values.value[i]);
    if (equal && active.Has(repeat, i)) return i;
  }
  return 0;
}

void StoreIndex(std::uint8_t* at, std::int64_t bytes, std::int64_t index) {
  const std::uint32_t value = static_cast<std::uint32_t>(index);
  std::memcpy(at, &value, static_cast<std::size_t>(bytes));
}

void StoreResult(Dtype dtype, ReduceResult result, std::uint8_t* at, float value, std::int64_t index) {
  const std::int64_t size = BitsOf(dtype) / 8;
  switch (result) {
    case ReduceResult::kValueIndex: StoreAs(dtype, at, value); return StoreIndex(at + size, size, index);
    case ReduceResult::kIndexValue: StoreIndex(at, size, index); return StoreAs(dtype, at + size, value);
    case ReduceResult::kValue: return StoreAs(dtype, at, value);
    default: return StoreIndex(at, 4, index);
  }
}

void ResolveSource(VectorInstruction& ins, const VectorTensor& dst, const VectorTensor& src, const char* name,
                   const VectorSweep& sweep) {
  RequireUnifiedBuffer(dst.ref, name, sweep.site);
  RequireRange(ins.ins(), dst.ref, "repeat stride", dst.stride.repeat, dst.stride.repeat_max);
  ins.Operand(src, true, false);
  ins.Resolve();
  ins.Describe();
}

// `bytes` at `offset` of each of `rows` results that are `stride` apart; one range where they follow each other.
void WriteResults(Instruction& ins, const VectorTensor& dst, std::int64_t offset, std::int64_t bytes, std::int64_t rows,
                  std::int64_t stride, std::int64_t align) {
  const OperandRule rule{static_cast<std::uint32_t>(align)};
  if (rows == 1 || stride == 0) ins.Write(dst.ref, {offset, bytes}, rule);
  else if (stride == bytes) ins.Write(dst.ref, {offset, bytes * rows}, rule);
  else ins.Write(dst.ref, {offset, bytes, 1, 0, rows, stride}, rule);
}

// Writes the results that have an element: `per_result` elements make one.
void WriteGroups(VectorInstruction& ins, const VectorTensor& dst, std::int64_t per_result, std::int64_t row_stride,
                 std::int64_t align) {
  const ActiveElements& active = ins.active();
  const std::int64_t size = BitsOf(dst.dtype) / 8;
  const auto results = [&](std::int64_t count) { return (count + per_result - 1) / per_result; };
  if (active.repeats == 0) return;
  if (!active.by_bits) {
    const bool uniform = results(active.full) == results(active.last);
    const std::int64_t rows = uniform ? active.repeats : active.repeats - 1;
    if (rows > 0) WriteResults(ins.ins(), dst, 0, results(active.full) * size, rows, row_stride, align);
    if (!uniform) WriteResults(ins.ins(), dst, rows * row_stride, results(active.last) * size, 1, 0, align);
    return;
  }
  const auto any = [&](std::int64_t result) {
    for (std::int64_t i = 0; i < per_result; ++i) {
      if (active.Has(0, result * per_result + i)) return true;
    }
    return false;
  };
  const std::int64_t total = ins.lanes() / per_result;
  for (std::int64_t first = 0; first < total;) {
    std::int64_t last = first;
    while (last < total && any(last)) ++last;
    if (last > first) {
      const std::int64_t aligned = first == 0 ? align : size;
      WriteResults(ins.ins(), dst, first * size, (last - first) * size, active.repeats, row_stride, aligned);
    }
    first = std::max(last, first + 1);
  }
}

// Stores the results [0, total) of a repeat that have an element; `per_result` elements make one.
void StoreGroups(const VectorInstruction& ins, std::int64_t repeat, std::int64_t per_result, Dtype dtype,
                 std::uint8_t* to, const float* result) {
  const ActiveElements& active = ins.active();
  const std::int64_t size = BitsOf(dtype) / 8, total = ins.lanes() / per_result;
  if (!active.by_bits) {
    const std::int64_t count = repeat + 1 < active.repeats ? active.full : active.last;
    const std::int64_t results = (count + per_result - 1) / per_result;
    if (dtype == Dtype::kFloat) {
      std::memcpy(to, result, static_cast<std::size_t>(results) * sizeof(float));
    } else {
      for (std::int64_t i = 0; i < results; ++i) StoreAs(dtype, to + i * size, result[i]);
    }
    return;
  }
  for (std::int64_t i = 0; i < total; ++i) {
    bool any = false;
    for (std::int64_t j = 0; j < per_result; ++j) any = any || active.Has(repeat, i * per_result + j);
    if (any) StoreAs(dtype, to + i * size, result[i]);
  }
}

}  // namespace

void VectorReduceRepeat(const char* name, ReduceOp op, ReduceResult result, const VectorTensor& dst,
                        const VectorTensor& src, const VectorSweep& sweep) {
  VectorInstruction ins(name, sweep);
  ResolveSource(ins, dst, src, name, sweep);
  const std::int64_t size = BitsOf(src.dtype) / 8;
  const bool pair = result == ReduceResult::kValueIndex || result == ReduceResult::kIndexValue;
  const std::int64_t unit = pair ? 2 * size : result == ReduceResult::kIndex ? 4 : size;
  const std::int64_t stride = dst.stride.repeat * unit;
  if (ins.active().repeats > 0) WriteResults(ins.ins(), dst, 0, unit, ins.active().repeats, stride, unit);
  ins.Issue(OpClass::kVecReduceRepeat);
  const RepeatSource source(ins, src, Neutral(op));
  const int lanes = static_cast<int>(ins.lanes());
  std::uint8_t* to = Bytes(dst.ref);
  RepeatValues values;
  for (std::int64_t repeat = 0; repeat < ins.active().repeats; ++repeat) {
    source.Load(repeat, values);
    if (op == ReduceOp::kSum) {
      FoldSums(src.dtype, values.value, lanes, lanes);
      StoreAs(dst.dtype, to + repeat * stride, values.value[0]);
      continue;
    }
    const float extreme = FoldExtreme(op, values.value, lanes);
    const std::int64_t index =
        result == ReduceResult::kValue ? 0 : IndexOf(ins.active(), repeat, values, lanes, extreme);
    StoreResult(dst.dtype, result, to + repeat * stride, extreme, index);
  }
}

void VectorReduceBlock(const char* name, ReduceOp op, const VectorTensor& dst, const VectorTensor& src,
                       const VectorSweep& sweep) {
  VectorInstruction ins(name, sweep);
  ResolveSource(ins, dst, src, name, sweep);
  const std::int64_t size = BitsOf(src.dtype) / 8, per_block = kBlockBytes / size;
  const std::int64_t stride = dst.stride.repeat * kLanes * size;
  WriteGroups(ins, dst, per_block, stride, kLanes * size);
  ins.Issue(OpClass::kVecReduceBlock);
  const RepeatSource source(ins, src, Neutral(op));
  std::uint8_t* to = Bytes(dst.ref);
  RepeatValues values;
  for (std::int64_t repeat = 0; repeat < ins.active().repeats; ++repeat) {
    source.Load(repeat, values);
    if (op == ReduceOp::kSum) {
      FoldSums(src.dtype, values.value, static_cast<int>(ins.lanes()), static_cast<int>(per_block));
    } else {
      FoldExtremes(op, values.value, static_cast<int>(per_block));
    }
    StoreGroups(ins, repeat, per_block, dst.dtype, to + repeat * stride, values.value);
  }
}

void VectorReducePair(const VectorTensor& dst, const VectorTensor& src, const VectorSweep& sweep) {
  VectorInstruction ins("PairReduceSum", sweep);
  ResolveSource(ins, dst, src, "PairReduceSum", sweep);
  const std::int64_t stride = dst.stride.repeat * kRepeatBytes / 2;
  WriteGroups(ins, dst, 2, stride, kBlockBytes);
  ins.Issue(OpClass::kVecReduceBlock);
  const RepeatSource source(ins, src, 0.0f);
  std::uint8_t* to = Bytes(dst.ref);
  RepeatValues values;
  for (std::int64_t repeat = 0; repeat < ins.active().repeats; ++repeat) {
    source.Load(repeat, values);
    FoldSums(src.dtype, values.value, static_cast<int>(ins.lanes()), 2);
    StoreGroups(ins, repeat, 2, dst.dtype, to + repeat * stride, values.value);
  }
}

namespace {

std::int64_t RoundUp(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Elements of the work tensor, by the documented rule; `repeats` of the first pass.
std::int64_t WorkElements(ReduceOp op, bool with_index, std::int64_t repeats, std::int64_t size) {
  const std::int64_t per_block = kBlockBytes / size, lanes = kRepeatBytes / size;
  if (op == ReduceOp::kSum) return RoundUp(repeats, per_block);
  std::int64_t results = 2 * repeats, total = RoundUp(results, per_block);
  while (with_index && results > 2) {
    results = (results + lanes - 1) / lanes * 2;
    total += RoundUp(results, per_block);
  }
  return total;
}

// Partial sums of the repeats are themselves summed as a tensor, until one is left.
float SumOf(Dtype dtype, std::vector<float>& partial, int lanes) {
  while (partial.size() > 1) {
    std::vector<float> next;
    RepeatValues values;
    for (std::size_t first = 0; first < partial.size(); first += static_cast<std::size_t>(lanes)) {
      const std::size_t count = std::min(partial.size() - first, static_cast<std::size_t>(lanes));
      std::copy_n(partial.begin() + static_cast<std::ptrdiff_t>(first), count, values.value);
      std::fill(values.value + count, values.value + lanes, 0.0f);
      FoldSums(dtype, values.value, lanes, lanes);
      next.push_back(values.value[0]);
    }
    partial.swap(next);
  }
  return partial[0];
}

struct Reduced {
  float value = 0;
  std::int64_t index = 0;
};

Reduced ReduceRepeats(ReduceOp op, bool in_order, const VectorInstruction& ins, const VectorTensor& src) {
  const RepeatSource source(ins, src, Neutral(op));
  const int lanes = static_cast<int>(ins.lanes());
  const std::int64_t row_elements = src.stride.repeat * kBlockBytes * 8 / BitsOf(src.dtype);
  std::vector<float> sums;
  Reduced best;
  RepeatValues values;
  for (std::int64_t repeat = 0; repeat < ins.active().repeats; ++repeat) {
    source.Load(repeat, values);
    if (op == ReduceOp::kSum) {
      FoldSums(src.dtype, values.value, lanes, lanes);
      sums.push_back(values.value[0]);
      continue;
    }
    const float extreme = FoldExtreme(op, values.value, lanes);
    const bool better = op == ReduceOp::kMax ? extreme > best.value : extreme < best.value;
    if (repeat == 0 || better || (extreme != extreme && best.value == best.value)) {
      best = {extreme, repeat * row_elements + IndexOf(ins.active(), repeat, values, lanes, extreme)};
    }
  }
  if (op != ReduceOp::kSum) return best;
  if (!in_order) return {SumOf(src.dtype, sums, lanes), 0};
  float total = sums[0];
  for (std::size_t i = 1; i < sums.size(); ++i) total = RoundedTo(src.dtype, SplatF(total + sums[i]))[0];
  return {total, 0};
}

const char* NameOfAll(ReduceOp op) {
  return op == ReduceOp::kSum ? "ReduceSum" : op == ReduceOp::kMax ? "ReduceMax" : "ReduceMin";
}

}  // namespace

void VectorReduceAll(ReduceOp op, bool with_index, const VectorTensor& dst, const VectorTensor& src,
                     const TensorRef& work, const VectorSweep& sweep, const ReduceEvents& events) {
  const char* name = NameOfAll(op);
  const bool first_elements = sweep.mask.kind != MaskArgument::kBits && sweep.mask.kind != MaskArgument::kPrefix;
  const std::int64_t size = BitsOf(src.dtype) / 8;
  Reduced result;
  {
    VectorInstruction ins(name, sweep);
    ResolveSource(ins, dst, src, name, sweep);
    if (ins.active().repeats == 0) return;
    const bool works = op != ReduceOp::kSum || !first_elements;
    if (works) {
      RequireUnifiedBuffer(work, name, sweep.site);
      const std::int64_t lanes = ins.lanes();
      const std::int64_t passes =
          first_elements ? std::max<std::int64_t>(ins.active().Total() / lanes, 1) : ins.active().repeats;
      OperandRule rule = kBlockAligned;
      rule.undefined = true;
      ins.ins().Write(work, {0, WorkElements(op, with_index, passes, size) * size}, rule);
    }
    ins.Issue(OpClass::kVecReduceRepeat);
    result = ReduceRepeats(op, first_elements, ins, src);
  }
  // The scalar unit stores the result; the call orders it with the pipes around it.
  SetFlag(Pipe::kV, Pipe::kS, events.vector_to_scalar, sweep.site);
  WaitFlag(Pipe::kV, Pipe::kS, events.vector_to_scalar, sweep.site);
  const std::int64_t bytes = with_index ? 2 * size : size;
  Instruction store(name, Pipe::kS, sweep.site);
  store.Write(dst.ref, {0, bytes}, {static_cast<std::uint32_t>(bytes)}).Issue({OpClass::kScalar, 1});
  StoreResult(dst.dtype, with_index ? ReduceResult::kValueIndex : ReduceResult::kValue, Bytes(dst.ref), result.value,
              result.index);
  OfVectorCore().summed = 0;
  std::memcpy(&OfVectorCore().summed, Bytes(dst.ref), size);
  SetFlag(Pipe::kS, Pipe::kV, events.scalar_to_vector, sweep.site);
  WaitFlag(Pipe::kS, Pipe::kV, events.scalar_to_vector, sweep.site);
  SetFlag(Pipe::kS, Pipe::kMTE3, events.scalar_to_mte3, sweep.site);
  WaitFlag(Pipe::kS, Pipe::kMTE3, events.scalar_to_mte3, sweep.site);
}

}  // namespace npufa_sim
