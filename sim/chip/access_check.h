// Checks of one instruction's operands: bounds, alignment, unwritten bytes, and order against earlier accesses.
#pragma once

#include <cstdint>
#include <string>

#include "core.h"

namespace npufa_sim {

class AccessCheck {
 public:
  AccessCheck(Core& core, const Instruction& ins, std::uint32_t index, std::uint32_t site);
  void Run();

 private:
  using Operand = Instruction::Operand;

  void Bounds(const Operand& operand);
  bool Followed(const Operand& operand) const;
  void GmBounds(const Operand& operand, std::uint64_t first, std::uint64_t last);
  void LocalBounds(const Operand& operand, std::uint64_t first, std::uint64_t last);
  void Alignment(const Operand& operand);
  void Local(const Operand& operand);
  void Global(const Operand& operand);
  void LocalOrder(const Operand& operand, LocalMemory& memory, std::int64_t cell, std::int64_t end);
  std::uint32_t NextAccess(const Operand& operand, LocalMemory& memory, std::uint32_t id, std::int64_t cell);
  void LocalWritten(const Operand& operand, LocalMemory& memory, std::int64_t first, std::int64_t last);
  void LocalNumbers(const Operand& operand, const LocalMemory& memory, std::int64_t first, std::int64_t last);
  void GlobalCells(const Operand& operand, GmRegionState& region, GmPage& page, std::int64_t first, std::int64_t last,
                   std::int64_t cell, std::int64_t end);
  std::uint32_t NextTouches(const Operand& operand, GmPage& page, std::uint32_t list, std::uint32_t mask,
                            std::int64_t begin);

  bool Ordered(const Operand& operand, Pipe pipe, std::uint32_t index) const;
  bool Ordered(const GmTouch& touch) const;
  bool OrderedByChip(const Operand& operand, Pipe other);
  std::uint32_t ContentOf(const Operand& write) const;
  void Race(const Operand& operand, std::int64_t address, const char* kind, Pipe other, std::uint32_t other_site,
            int other_core, bool same_bytes = false);
  void Unwritten(const Operand& operand, std::int64_t address);
  [[noreturn]] void OutOfBounds(const Operand& operand, const std::string& message, const char* advice);
  KernelFinding Describe(const char* check, const Operand& operand) const;
  std::string Place(const Operand& operand, std::int64_t address) const;

  Core& core_;
  const Instruction& ins_;
  const std::uint32_t index_;
  const std::uint32_t site_;
  const Clock& clock_;
  // Of the operand at hand: one report each, and what became of the cells before, for those that follow.
  bool raced_ = false, wrote_same_ = false, unwritten_ = false;
  std::uint32_t content_ = 0;
  bool missed_ = false;  // an operand that may, did
  struct Step {
    std::uint32_t from = 0, mask = 0, to = 0;
    bool known = false;
  };
  Step step_;
};

}  // namespace npufa_sim
