#include "bank_conflicts.h"

#include <algorithm>
#include <array>

namespace npufa_sim {
namespace {

constexpr int kGroups = 16, kGroupBits = 4, kBlockBits = 5, kBankBits = 16;
// Strides are multiples of 32 bytes, so groups repeat after at most 16 repeats.
constexpr std::int64_t kPeriod = kGroups;

int GroupOf(std::uint64_t address) { return static_cast<int>(address >> kBlockBits & (kGroups - 1)); }
std::uint64_t BankBit(std::uint64_t address) {
  return std::uint64_t{1} << ((address >> kBankBits << kGroupBits | GroupOf(address)) & 63);
}

std::uint64_t BlockAddress(const BankOperand& o, std::int64_t repeat, int block) {
  return o.address + repeat * o.repeat_stride + block * o.block_stride;
}
int DistinctBlocks(const BankOperand& o) { return o.block_stride == 0 ? 1 : o.blocks; }

struct Accesses {
  std::uint64_t banks = 0;
  std::array<std::uint8_t, kGroups> per_group{};

  void Add(const BankOperand& o, std::int64_t repeat) {
    for (int block = 0; block < DistinctBlocks(o); ++block) {
      const std::uint64_t address = BlockAddress(o, repeat, block);
      banks |= BankBit(address);
      ++per_group[GroupOf(address)];
    }
  }
  int Cycles() const { return *std::max_element(per_group.begin(), per_group.end()); }
};

bool SameBanks(const BankOperand& a, const BankOperand& b, std::int64_t repeat) {
  if (DistinctBlocks(a) != DistinctBlocks(b)) return false;
  for (int block = 0; block < DistinctBlocks(a); ++block) {
    if (BankBit(BlockAddress(a, repeat, block)) != BankBit(BlockAddress(b, repeat, block))) return false;
  }
  return true;
}

// Where block for block a source lies in the destination's banks, the hardware writes one repeat later.
bool WritesLater(const BankOperand* operands, int count, std::int64_t repeat) {
  for (int dst = 0; dst < count; ++dst) {
    for (int src = 0; src < count; ++src) {
      if (operands[dst].write && operands[src].read && SameBanks(operands[dst], operands[src], repeat)) return true;
    }
  }
  return false;
}

}  // namespace

std::uint32_t BankUse::Packed() const {
  return std::min<std::uint32_t>(cycles, 0xffff) | std::min<std::uint32_t>(read_write, 0xffff) << 16;
}

BankUse BanksOf(const BankOperand* operands, int count, std::int64_t repeats) {
  const std::int64_t looked_at = std::min(repeats, kPeriod);
  BankUse use;
  std::uint64_t written_before = 0;
  for (std::int64_t repeat = 0; repeat < looked_at; ++repeat) {
    Accesses reads, writes;
    for (int i = 0; i < count; ++i) {
      if (operands[i].read) reads.Add(operands[i], repeat);
      if (operands[i].write) writes.Add(operands[i], repeat);
    }
    const int cycles = std::max({reads.Cycles(), writes.Cycles(), 1});
    const std::uint64_t written = WritesLater(operands, count, repeat) ? written_before : writes.banks;
    use.cycles += cycles;
    use.read_write += cycles == 1 && (reads.banks & written) != 0;
    written_before = writes.banks;
  }
  if (looked_at > 0) {
    use.cycles = static_cast<std::uint32_t>(use.cycles * repeats / looked_at);
    use.read_write = static_cast<std::uint32_t>(use.read_write * repeats / looked_at);
  }
  return use;
}

}  // namespace npufa_sim
