// The banks of the unified buffer: which accesses of a vector instruction cannot happen in the same cycle.
//
// An address is {bank, row, bank group, byte}: 16 groups of 32 bytes side by side, a bank of each group every 64 KiB.
// In a cycle a group serves one read and one write, a bank one of both.
#pragma once

#include <cstdint>

namespace npufa_sim {

// One operand: repeats of `blocks` blocks of 32 bytes; a block stride of 0 reads one block once.
struct BankOperand {
  std::uint64_t address = 0;
  std::int64_t block_stride = 32, repeat_stride = 256;  // bytes
  int blocks = 8;
  bool read = true, write = false;
};

struct BankUse {
  std::uint32_t cycles = 0;      // that the reads, or the writes, alone need: one per repeat without conflict
  std::uint32_t read_write = 0;  // repeats without other conflicts that read and write the same bank

  // As in Record::event.
  std::uint32_t Packed() const;
  static BankUse Unpack(std::uint32_t event) { return {event & 0xffff, event >> 16}; }
};

BankUse BanksOf(const BankOperand* operands, int count, std::int64_t repeats);

}  // namespace npufa_sim
