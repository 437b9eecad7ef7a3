// How the Ascend C layer hands an instruction to the chip: describe operands, check parameters, issue, then compute.
//
//   Instruction ins("Add", Pipe::kV, site);
//   ins.Read(src0, extent).Read(src1, extent).Write(dst, extent);
//   ins.Require(repeat <= 255, "repeatTime", repeat, "at most 255");
//   ins.Issue({OpClass::kVecAdd, repeats, elements, sizeof(T)});
//   ... then the arithmetic on Bytes(dst), Bytes(src0) ...
//
// Issue() ends the program (after reporting) when executing the instruction would touch memory it may not touch or has
// no meaning; races, unwritten operands and other findings are collected and the kernel goes on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "record.h"
#include "types.h"

namespace npufa_sim {

struct Cost {
  OpClass op = OpClass::kScalar;
  std::uint32_t a = 0, b = 0, c = 0;
  std::uint8_t dtype = 0;
  Manner manner = Manner::kPlain;
  std::uint32_t event = 0;
};

// What an operand demands beyond lying inside its buffer.
struct OperandRule {
  std::uint32_t align = 1;        // of every block's address, in bytes
  bool may_be_unwritten = false;  // moves of whole fractals may carry bytes that nobody wrote and nobody will use
  bool carries = false;           // what comes of unwritten bytes counts as unwritten; that alone is no mistake
  bool atomic = false;            // writes that combine with others' in any order
  bool ordered_in_pipe = false;   // the pipe itself orders this operand after earlier instructions of the same pipe
  bool whole_blocks = false;      // a 32-byte block counts as written as soon as any byte of it is
  bool unit_flag = false;         // L0C: Mmad and Fixpipe with unit flags wait for each other
  std::uint8_t numbers = 0;       // bytes of elements none of which may be the NaN that unwritten memory holds
  bool may_miss = false;          // GM: just past an argument's end the instruction is wrong, and the program goes on
  bool undefined = false;         // a write of bytes that nobody may use: they count as unwritten afterwards
};

inline constexpr OperandRule kBlockAligned{32};

class Core;

class Instruction {
 public:
  Instruction(const char* name, Pipe pipe, Site site);
  ~Instruction();
  Instruction(const Instruction&) = delete;
  Instruction& operator=(const Instruction&) = delete;

  Instruction& Read(const TensorRef& tensor, const Extent& extent, OperandRule rule = {});
  Instruction& Write(const TensorRef& tensor, const Extent& extent, OperandRule rule = {});
  // Reports "<what> is <got>, must be <expected>" as a parameter fault; nothing is executed.
  Instruction& Require(bool ok, const char* what, std::int64_t got, const char* expected);

  // Whether every byte was written; true when nothing is checked.
  bool AllWritten(const TensorRef& tensor, const Extent& extent) const;

  // Bytes that Issue() has marked as written hold nothing that anybody may use.
  void Undefine(const TensorRef& tensor, const Extent& extent);

  // Copies which destination bytes count as written from the source instead of marking all of them: for moves between
  // memories, byte ranges pairwise in order. Call after Issue().
  void CopyWritten(const TensorRef& dst, const Extent& dst_extent, const TensorRef& src, const Extent& src_extent);

  void Issue(const Cost& cost);

  struct Operand {
    TensorRef tensor;
    Extent extent;
    OperandRule rule;
    bool write;
  };
  const char* name() const { return name_; }
  Pipe pipe() const { return pipe_; }
  Site site() const { return site_; }
  const std::vector<Operand>& operands() const { return operands_; }

 private:
  const char* name_;
  Pipe pipe_;
  Site site_;
  Core& core_;
  std::vector<Operand>& operands_;  // storage of the current core, reused
};

// Host memory behind a tensor of the current core.
std::uint8_t* Bytes(const TensorRef& tensor);
// The same at an offset in bytes; null where an operand that may miss does.
const std::uint8_t* BytesWithin(const TensorRef& tensor, std::uint64_t offset, std::uint64_t bytes);

}  // namespace npufa_sim
