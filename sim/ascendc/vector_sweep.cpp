#include "vector_sweep.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "chip/core_api.h"

namespace npufa_sim {
namespace {

constexpr std::uint64_t kAllBits = ~std::uint64_t{0};
constexpr std::int64_t kMaxCount = std::numeric_limits<std::int32_t>::max();

ActiveElements FirstElements(std::int64_t count, std::int64_t lanes) {
  const std::int64_t repeats = (count + lanes - 1) / lanes;
  return {repeats, repeats > 1 ? lanes : count, count - (repeats - 1) * lanes};
}

ActiveElements SameInEachRepeat(std::uint64_t low, std::uint64_t high, std::int64_t lanes, std::int64_t repeats) {
  low &= FirstBits(lanes);
  high &= FirstBits(lanes - 64);
  const std::int64_t count = std::popcount(low) + std::popcount(high);
  if (count == 0 || repeats == 0) return {};
  if (low == FirstBits(count) && high == FirstBits(count - 64)) return {repeats, count, count};
  return {repeats, 0, 0, true, low, high};
}

Manner MannerOf(const MaskArgument& mask) {
  if (mask.kind == MaskArgument::kElements) return Manner::kCounted;
  return mask.kind == MaskArgument::kRegister ? Manner::kPlain : Manner::kMasked;
}

}  // namespace

std::int64_t ActiveElements::Total() const {
  if (repeats == 0) return 0;
  if (by_bits) return repeats * (std::popcount(low) + std::popcount(high));
  return (repeats - 1) * full + last;
}

ActiveElements ResolveMask(Instruction& ins, const VectorSweep& sweep, std::int64_t lanes) {
  VectorMask& current = CurrentMask();
  const MaskArgument& mask = sweep.mask;
  if (mask.kind == MaskArgument::kElements) {
    const std::int64_t count = static_cast<std::int64_t>(mask.low);
    ins.Require(count >= 0 && count <= kMaxCount, "count", count, "0 or more elements");
    current = {kAllBits, kAllBits, false};
    return count > 0 ? FirstElements(count, lanes) : ActiveElements{};
  }
  ins.Require(sweep.repeat >= 0 && sweep.repeat <= sweep.repeat_max, "repeatTime", sweep.repeat, "0 to 255");
  if (mask.kind == MaskArgument::kPrefix) {
    const std::int64_t count = static_cast<std::int64_t>(mask.low);
    ins.Require(count >= 0 && count <= lanes, "mask", count, "at most the elements of one repeat (256 bytes)");
    ins.Require(!current.counter, "mask", count,
                "given as mask[] or by SetVectorMask while counter mode is on: this form sets one bit per element");
    SetMaskPrefix(count);
    return SameInEachRepeat(current.low, current.high, lanes, sweep.repeat);
  }
  if (mask.kind == MaskArgument::kBits) {
    current.low = mask.low;
    current.high = mask.high;
  }
  if (!current.counter) return SameInEachRepeat(current.low, current.high, lanes, sweep.repeat);
  const std::int64_t count = static_cast<std::int64_t>(current.low);
  ins.Require(count >= 0 && count <= kMaxCount, "mask (counter mode)", count,
              "the number of elements of the instruction");
  return count > 0 ? FirstElements(count, lanes) : ActiveElements{};
}

void RequireUnifiedBuffer(const TensorRef& ref, const char* instruction, Site site) {
  if (ref.space == Space::kUB) return;
  const std::string message =
      std::string(ref.name) + " lies in " + NameOf(ref.space) + "; vector instructions work on the unified buffer";
  Fault("wrong-memory", site, instruction, message.c_str(), "use a tensor of VECIN, VECCALC or VECOUT");
}

void RequireRange(Instruction& ins, const TensorRef& ref, const char* what, std::int64_t value, std::int64_t max) {
  if (value >= 0 && value <= max) return;
  const std::string name = std::string(ref.name) + " " + what;
  const std::string expected = "0 to " + std::to_string(max);
  ins.Require(false, name.c_str(), value, expected.c_str());
}

OperandRule AlignedAt(std::int64_t offsets, std::int64_t element_bytes) {
  const std::int64_t low_bit = offsets == 0 ? kBlockBytes : offsets & -offsets;
  return {static_cast<std::uint32_t>(std::max(element_bytes, std::min(kBlockBytes, low_bit)))};
}

void VectorInstruction::Operand(const VectorTensor& tensor, bool read, bool write) {
  const int bits = BitsOf(tensor.dtype);
  operands_[count_++] = {
      tensor, bits, read, write, tensor.stride.block * kBlockBytes, tensor.stride.repeat * kBlockBytes};
  widest_bits_ = std::max(widest_bits_, bits);
}

void VectorInstruction::BitOperand(const TensorRef& ref, std::int64_t repeat_bytes) {
  operands_[count_++] = {{ref, Dtype::kBool, {}}, 1, true, false, kBlockBytes, repeat_bytes};
  ins_.Require(ref.address % kBlockBytes == 0, ref.name, static_cast<std::int64_t>(ref.address),
               "at an address that is a multiple of 32");
}

void VectorInstruction::CheckParameters() {
  for (int i = 0; i < count_; ++i) {
    const VectorTensor& tensor = operands_[i].tensor;
    RequireUnifiedBuffer(tensor.ref, ins_.name(), ins_.site());
    RequireRange(ins_, tensor.ref, "block stride", tensor.stride.block, tensor.stride.block_max);
    RequireRange(ins_, tensor.ref, "repeat stride", tensor.stride.repeat, tensor.stride.repeat_max);
    if (operands_[i].write && tensor.stride.block == 0) {
      const bool one_block = active_.by_bits ? false : active_.full <= unit_ && active_.last <= unit_;
      ins_.Require(one_block, "dst block stride", 0, "1 or more where a repeat has more than one block");
    }
  }
}

void VectorInstruction::Resolve(std::int64_t lanes) {
  unit_ = kBlockBytes * 8 / widest_bits_;
  lanes_ = lanes > 0 ? lanes : kRepeatBytes * 8 / widest_bits_;
  active_ = ResolveMask(ins_, sweep_, lanes_);
  CheckParameters();
  BuildWalks();
}

void VectorInstruction::ResolvePerRepeat() {
  if (sweep_.mask.kind == MaskArgument::kElements || !CurrentMask().counter) return Resolve();
  unit_ = kBlockBytes * 8 / widest_bits_;
  lanes_ = kRepeatBytes * 8 / widest_bits_;
  const std::int64_t count = ResolveMask(ins_, sweep_, lanes_).Total();
  active_ = count > 0 && sweep_.repeat > 0 ? ActiveElements{sweep_.repeat, count, count} : ActiveElements{};
  CheckParameters();
  BuildWalks();
}

std::int64_t VectorInstruction::OffsetOf(const OperandUse& operand, std::int64_t element) const {
  const std::int64_t per_block = kBlockBytes * 8 / operand.bits;
  return element / per_block * operand.block_bytes + element % per_block * operand.bits / 8;
}

void VectorInstruction::BuildWalks() {
  walks_.size = 0;
  if (active_.repeats == 0) return;
  const std::int64_t last = active_.by_bits ? lanes_ - 1 : std::max<std::int64_t>(active_.full, active_.last) - 1;
  const OperandUse& dst = operands_[0];
  rows_overlap_ = dst.write && active_.repeats > 1 && dst.repeat_bytes > 0 &&
                  dst.repeat_bytes < OffsetOf(dst, last) / kBlockBytes * kBlockBytes + kBlockBytes;
  if (active_.by_bits) {
    for (std::int64_t i = 0; i < lanes_;) {
      const std::uint64_t word = i < 64 ? active_.low : active_.high;
      const std::int64_t in_unit = std::min(unit_ - i % unit_, lanes_ - i);
      const std::int64_t run = std::min<std::int64_t>(std::countr_one(word >> (i % 64)), in_unit);
      if (run > 0) AddRun(i, run, 0, active_.repeats);
      i += std::max<std::int64_t>(run, 1);
    }
    return;
  }
  const auto add_first = [&](std::int64_t count, std::int64_t row, std::int64_t rows) {
    if (rows == 0) return;
    AddUnits(count / unit_, row, rows);
    if (count % unit_ > 0) AddRun(count / unit_ * unit_, count % unit_, row, rows);
  };
  const bool uniform = active_.full == active_.last;
  add_first(active_.full, 0, uniform ? active_.repeats : active_.repeats - 1);
  if (!uniform) add_first(active_.last, active_.repeats - 1, 1);
}

void VectorInstruction::AddUnits(std::int64_t units, std::int64_t row, std::int64_t rows) {
  if (units == 0) return;
  bool linear = true;
  for (int i = 0; i < count_; ++i) {
    linear = linear && (operands_[i].bits == widest_bits_ || operands_[i].block_bytes == kBlockBytes);
  }
  if (!linear) {
    for (std::int64_t u = 0; u < units; ++u) AddRun(u * unit_, unit_, row, rows);
    return;
  }
  Walk walk{rows, units, unit_, row, {}};
  for (int i = 0; i < count_; ++i) {
    const OperandUse& operand = operands_[i];
    walk.at[i] = {row * operand.repeat_bytes, operand.repeat_bytes,
                  operand.bits == widest_bits_ ? operand.block_bytes : unit_ * operand.bits / 8, 0};
  }
  Append(walk);
}

void VectorInstruction::AddRun(std::int64_t element, std::int64_t count, std::int64_t row, std::int64_t rows) {
  Walk walk{rows, 1, count, row, {}};
  for (int i = 0; i < count_; ++i) {
    const OperandUse& operand = operands_[i];
    walk.at[i] = {row * operand.repeat_bytes + OffsetOf(operand, element), operand.repeat_bytes, 0,
                  element * operand.bits % 8};
  }
  Append(walk);
}

// Joins blocks and rows that follow each other in every operand, and with the walk before.
void VectorInstruction::Append(Walk walk) {
  const auto bytes = [&](int i, const Walk& w) { return w.elements * operands_[i].bits / 8; };
  const auto each = [&](auto&& holds) {
    for (int i = 0; i < count_; ++i) {
      if (!holds(i)) return false;
    }
    return true;
  };
  if (walk.blocks > 1 && each([&](int i) { return walk.at[i].block == bytes(i, walk); })) {
    walk.elements *= walk.blocks;
    walk.blocks = 1;
  }
  if (walk.rows > 1 && walk.blocks == 1 && each([&](int i) { return walk.at[i].row == bytes(i, walk); })) {
    walk.elements *= walk.rows;
    walk.rows = 1;
  }
  if (walks_.size > 0 && walk.rows == 1 && walk.blocks == 1) {
    Walk& before = walks_.walks[walks_.size - 1];
    if (before.rows == 1 && before.blocks == 1 && each([&](int i) {
          return before.at[i].offset + bytes(i, before) == walk.at[i].offset && before.at[i].bit == walk.at[i].bit;
        })) {
      before.elements += walk.elements;
      return;
    }
  }
  walks_.walks[walks_.size++] = walk;
}

void VectorInstruction::Describe() {
  for (int i = 0; i < count_; ++i) {
    const OperandUse& operand = operands_[i];
    for (const Walk& walk : walks_) {
      const Walk::Place& at = walk.at[i];
      Extent extent{at.offset, (at.bit + walk.elements * operand.bits + 7) / 8};
      if (at.block != 0) extent.blocks = walk.blocks, extent.block_stride = at.block;
      if (at.row != 0) extent.rows = walk.rows, extent.row_stride = at.row;
      OperandRule rule = AlignedAt(at.offset | at.block | at.row, std::max(operand.bits / 8, 1));
      rule.carries = carries_;
      if (operand.read) ins_.Read(operand.tensor.ref, extent, rule);
      if (operand.write) ins_.Write(operand.tensor.ref, extent, rule);
    }
  }
}

void VectorInstruction::CarryUndefined() {
  carries_ = true;
  for (int i = 0; i < count_; ++i) carries_ &= operands_[i].bits >= 8;
}

// Where in the destination the elements lie that have an unwritten source.
std::vector<std::int64_t> VectorInstruction::UndefinedElements() const {
  std::vector<std::int64_t> undefined;
  bool complete = true;
  for (const Instruction::Operand& operand : ins_.operands()) {
    complete = complete && (operand.write || ins_.AllWritten(operand.tensor, operand.extent));
  }
  if (complete) return undefined;
  ForEachActive([&](std::int64_t, std::int64_t, const std::int64_t* offset) {
    for (int i = 0; i < count_; ++i) {
      if (!operands_[i].read || ins_.AllWritten(operands_[i].tensor.ref, {offset[i], operands_[i].bits / 8})) continue;
      undefined.push_back(offset[0]);
      return;
    }
  });
  return undefined;
}

BankUse VectorInstruction::Banks() const {
  const std::int64_t active = active_.by_bits ? lanes_ : std::max(active_.full, active_.last);
  BankOperand operands[Walk::kOperands];
  int count = 0;
  for (int i = 0; i < count_; ++i) {
    const OperandUse& use = operands_[i];
    if (use.bits == 1) continue;
    const std::int64_t bytes = std::min(active * use.bits / 8, kRepeatBytes);
    const int blocks = static_cast<int>((bytes + kBlockBytes - 1) / kBlockBytes);
    operands[count++] = {use.tensor.ref.address, use.block_bytes, use.repeat_bytes, blocks, use.read, use.write};
  }
  return BanksOf(operands, count, active_.repeats);
}

void VectorInstruction::Issue(OpClass op) {
  const std::vector<std::int64_t> undefined = carries_ ? UndefinedElements() : std::vector<std::int64_t>();
  Cost cost{op, static_cast<std::uint32_t>(active_.repeats), static_cast<std::uint32_t>(active_.Total()),
            static_cast<std::uint32_t>(std::max(widest_bits_ / 8, 1))};
  if (Profiled()) {
    cost.manner = MannerOf(sweep_.mask);
    cost.event = Banks().Packed();
  }
  ins_.Issue(cost);
  for (const std::int64_t offset : undefined) ins_.Undefine(operands_[0].tensor.ref, {offset, operands_[0].bits / 8});
  for (int i = 0; i < Walk::kOperands; ++i) base_[i] = i < count_ ? Bytes(operands_[i].tensor.ref) : nullptr;
}

}  // namespace npufa_sim
