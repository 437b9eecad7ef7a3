// From masks, repeats and strides to loops: which bytes a vector instruction touches, as few regular walks.
#pragma once

#include <cstdint>
#include <vector>

#include "chip/bank_conflicts.h"
#include "vector_ops.h"

namespace npufa_sim {

inline constexpr std::int64_t kBlockBytes = 32;
inline constexpr std::int64_t kRepeatBytes = 256;

// A mask of the first `count` of 64 elements.
constexpr std::uint64_t FirstBits(std::int64_t count) {
  if (count <= 0) return 0;
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

constexpr int BitsOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kInt4: return 4;
    case Dtype::kInt8:
    case Dtype::kUint8:
    case Dtype::kBool: return 8;
    case Dtype::kHalf:
    case Dtype::kBfloat16:
    case Dtype::kInt16:
    case Dtype::kUint16: return 16;
    case Dtype::kInt64:
    case Dtype::kUint64: return 64;
    default: return 32;
  }
}

// Elements that take part: of all repeats the first `full`, of the last one the first `last`; or those with a bit.
struct ActiveElements {
  std::int64_t repeats = 0;
  std::int64_t full = 0, last = 0;
  bool by_bits = false;
  std::uint64_t low = 0, high = 0;

  std::int64_t Total() const;
  bool Has(std::int64_t repeat, std::int64_t element) const {
    if (by_bits) return (element < 64 ? low >> element : high >> (element - 64)) & 1;
    return element < (repeat + 1 < repeats ? full : last);
  }
};

// rows x blocks x `elements` neighbouring elements, and where they lie in each operand, in bytes. Without initial
// values: every instruction has a list of these.
struct Walk {
  static constexpr int kOperands = 4;
  struct Place {
    std::int64_t offset, row, block;
    std::int64_t bit;  // of the first element in its byte, operands of one bit per element
  };

  std::int64_t rows, blocks, elements;
  std::int64_t first_row;
  Place at[kOperands];
};

struct WalkList {
  // Two rows of three walks for a prefix; alternating bits of 128 elements cut at 16 blocks otherwise.
  static constexpr int kCapacity = 80;
  int size = 0;
  Walk walks[kCapacity];

  const Walk* begin() const { return walks; }
  const Walk* end() const { return walks + size; }
};

// A masked instruction on up to four operands (the first is the destination): checks its parameters, finds the elements
// that take part, describes the operands.
class VectorInstruction {
 public:
  VectorInstruction(const char* name, const VectorSweep& sweep) : ins_(name, Pipe::kV, sweep.site), sweep_(sweep) {}

  void Operand(const VectorTensor& tensor, bool read, bool write);
  // A bit per element; `repeat_bytes` from repeat to repeat.
  void BitOperand(const TensorRef& ref, std::int64_t repeat_bytes);
  // Repeats of `lanes` elements; 0: as many as 256 bytes hold of the widest operand.
  void Resolve(std::int64_t lanes = 0);
  // Copy in counter mode: the mask counts the elements of each repeat.
  void ResolvePerRepeat();
  // Each element of the destination comes of the same elements of the sources: undefined ones stay so.
  void CarryUndefined();
  // A destination may be a later repeat's source only where the chip documents it.
  void CheckOverlap(bool accumulates_into_last_source);
  void Describe();
  void Issue(OpClass op);
  const char* name() const { return ins_.name(); }
  Site site() const { return ins_.site(); }

  // Calls f(pointers, elements, walk) for every block of the walks.
  template <class F>
  void ForEachBlock(F&& f) const {
    if (!rows_overlap_) {
      for (const Walk& walk : walks_) Rows(walk, 0, walk.rows, f);
      return;
    }
    // A later repeat overwrites what an earlier one left: in the order of the chip.
    for (std::int64_t row = 0; row < active_.repeats; ++row) {
      for (const Walk& walk : walks_) {
        const std::int64_t own = row - walk.first_row;
        if (own >= 0 && own < walk.rows) Rows(walk, own, own + 1, f);
      }
    }
  }

  // Calls f(element of the repeat, repeat, offset in each operand), repeat by repeat.
  template <class F>
  void ForEachActive(F&& f) const {
    for (std::int64_t repeat = 0; repeat < active_.repeats; ++repeat) {
      for (std::int64_t element = 0; element < lanes_; ++element) {
        if (!active_.Has(repeat, element)) continue;
        std::int64_t offset[Walk::kOperands];
        for (int i = 0; i < count_; ++i) {
          offset[i] = repeat * operands_[i].repeat_bytes + OffsetOf(operands_[i], element);
        }
        f(element, repeat, static_cast<const std::int64_t*>(offset));
      }
    }
  }

  Instruction& ins() { return ins_; }
  const ActiveElements& active() const { return active_; }
  std::int64_t lanes() const { return lanes_; }
  std::uint8_t* const* base() const { return base_; }

 private:
  struct OperandUse {
    VectorTensor tensor;
    int bits;
    bool read, write;
    std::int64_t block_bytes, repeat_bytes;
  };

  template <class F>
  void Rows(const Walk& walk, std::int64_t first, std::int64_t last, F&& f) const {
    for (std::int64_t row = first; row < last; ++row) {
      for (std::int64_t block = 0; block < walk.blocks; ++block) {
        std::uint8_t* p[Walk::kOperands];
        for (int i = 0; i < Walk::kOperands; ++i) {
          p[i] = base_[i] + walk.at[i].offset + row * walk.at[i].row + block * walk.at[i].block;
        }
        f(static_cast<std::uint8_t* const*>(p), walk.elements, walk);
      }
    }
  }
  void CheckParameters();
  std::vector<std::int64_t> UndefinedElements() const;
  std::int64_t OffsetOf(const OperandUse& operand, std::int64_t element) const;
  void BuildWalks();
  void AddUnits(std::int64_t units, std::int64_t row, std::int64_t rows);
  void AddRun(std::int64_t element, std::int64_t count, std::int64_t row, std::int64_t rows);
  void Append(Walk walk);
  void CheckOverlapWith(const OperandUse& source);
  BankUse Banks() const;

  Instruction ins_;
  const VectorSweep& sweep_;
  OperandUse operands_[Walk::kOperands];
  int count_ = 0;
  int widest_bits_ = 0;
  std::int64_t lanes_ = 0, unit_ = 0;
  ActiveElements active_;
  WalkList walks_;
  bool carries_ = false;
  bool rows_overlap_ = false;  // of the destination
  std::uint8_t* base_[Walk::kOperands];
};

// Resolves a mask for repeats of `lanes` elements, and leaves the mask register as the instruction does.
ActiveElements ResolveMask(Instruction& ins, const VectorSweep& sweep, std::int64_t lanes);

void RequireUnifiedBuffer(const TensorRef& ref, const char* instruction, Site site);
void RequireRange(Instruction& ins, const TensorRef& ref, const char* what, std::int64_t value, std::int64_t max);
// A block inside a 32-byte block of its tensor is as misaligned as the tensor's start.
OperandRule AlignedAt(std::int64_t offsets, std::int64_t element_bytes);

}  // namespace npufa_sim
