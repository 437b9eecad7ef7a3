// Encodings and operations from the Intel SDM, volume 2 (LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE,
// TDPBF16PS). Only what the library uses: palette 1, VEX-encoded, base + index * scale + displacement.
#include "amx_emulator.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "cpu/primitives/capability.h"

namespace npufa::cpu {
const Primitives& PrimitivesTable_amx();
}

namespace npufa::test {

namespace {

constexpr int kTiles = 8, kMaxRows = 16, kMaxBytes = 64;

struct Tile {
  int rows = 0, bytes = 0;
  unsigned char data[kMaxRows][kMaxBytes] = {};
};

struct Registers {
  bool configured = false;
  Tile tile[kTiles];
};

thread_local Registers registers;
struct sigaction previous;

[[noreturn]] void Fault(const char* why) {
  static constexpr char kPrefix[] = "AMX fault: ";
  (void)!write(STDERR_FILENO, kPrefix, sizeof(kPrefix) - 1);
  (void)!write(STDERR_FILENO, why, std::strlen(why));
  (void)!write(STDERR_FILENO, "\n", 1);
  std::_Exit(86);
}

Tile& Used(int index) {
  if (index >= kTiles) Fault("no such tile");
  Tile& tile = registers.tile[index];
  if (!registers.configured || tile.rows == 0 || tile.bytes == 0) Fault("tile is not configured");
  return tile;
}

std::uint64_t Register(const ucontext_t& context, int number) {
  static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[kOrder[number]]);
}

// One VEX-encoded instruction of opcode map 2 with its operands.
struct Instruction {
  int prefix, opcode, vvvv;  // prefix: 0 none, 1 66, 2 F3, 3 F2
  int mod, reg, rm;
  std::uint64_t address = 0;  // of the memory operand, without the index
  std::uint64_t index = 0;    // index * scale: the distance of rows
  int length = 0;
};

std::int64_t Displacement(const unsigned char* at, int bytes) {
  if (bytes == 1) return static_cast<signed char>(*at);
  std::int32_t wide = 0;
  if (bytes == 4) std::memcpy(&wide, at, sizeof(wide));
  return wide;
}

bool Decode(const ucontext_t& context, const unsigned char* code, Instruction* i) {
  constexpr int kVex3 = 0xc4, kMap2 = 2, kSib = 4, kRipRelative = 5;
  if (code[0] != kVex3 || (code[1] & 0x1f) != kMap2 || (code[2] & 0x84) != 0) return false;  // W0, L0
  const int high_index = code[1] & 0x40 ? 0 : 8, high_base = code[1] & 0x20 ? 0 : 8;
  i->prefix = code[2] & 3;
  i->vvvv = ~(code[2] >> 3) & 15;
  i->opcode = code[3];
  i->mod = code[4] >> 6;
  i->reg = (code[4] >> 3 & 7) + (code[1] & 0x80 ? 0 : 8);
  i->rm = (code[4] & 7) + (i->mod == 3 ? high_base : 0);
  i->length = 5;
  if (i->mod == 3) return true;
  int bytes = i->mod == 1 ? 1 : i->mod == 2 ? 4 : 0;
  if (i->rm == kSib) {
    const int sib = code[i->length++];
    const int index = (sib >> 3 & 7) + high_index, base = sib & 7;
    if (index != 4) i->index = Register(context, index) << (sib >> 6);
    if (base == 5 && i->mod == 0) {
      bytes = 4;
    } else {
      i->address = Register(context, base + high_base);
    }
  } else if (i->rm == kRipRelative && i->mod == 0) {
    bytes = 4;
    i->address = reinterpret_cast<std::uint64_t>(code) + i->length + bytes;
  } else {
    i->address = Register(context, i->rm + high_base);
  }
  i->address += static_cast<std::uint64_t>(Displacement(code + i->length, bytes));
  i->length += bytes;
  return true;
}

void LoadConfiguration(const unsigned char* memory) {
  registers = Registers{};
  if (memory[0] == 0) return;
  if (memory[0] != 1 || memory[1] != 0) Fault("palette or start row of the configuration");
  for (int t = 0; t < 16; ++t) {
    std::uint16_t bytes;
    std::memcpy(&bytes, memory + 16 + 2 * t, sizeof(bytes));
    const int rows = memory[48 + t];
    if (rows > kMaxRows || bytes > kMaxBytes || (rows == 0) != (bytes == 0)) Fault("size of a configured tile");
    if (t >= kTiles && rows != 0) Fault("configuration of a tile that does not exist");
    if (t < kTiles) {
      registers.tile[t].rows = rows;
      registers.tile[t].bytes = bytes;
    }
  }
  registers.configured = true;
}

void LoadTile(const Instruction& i) {
  Tile& tile = Used(i.reg);
  std::memset(tile.data, 0, sizeof(tile.data));
  for (int r = 0; r < tile.rows; ++r) {
    std::memcpy(tile.data[r], reinterpret_cast<const void*>(i.address + i.index * r), tile.bytes);
  }
}

void StoreTile(const Instruction& i) {
  const Tile& tile = Used(i.reg);
  for (int r = 0; r < tile.rows; ++r) {
    std::memcpy(reinterpret_cast<void*>(i.address + i.index * r), tile.data[r], tile.bytes);
  }
}

float FlushSubnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

float BFloat16At(const unsigned char* p) {
  std::uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return FlushSubnormal(value);
}

// Sums of even and of odd products are kept apart until the end.
void MultiplyBFloat16(const Instruction& i) {
  Tile& sum = Used(i.reg);
  const Tile& a = Used(i.rm);
  const Tile& b = Used(i.vvvv);
  if (&sum == &a || &sum == &b || &a == &b) Fault("one tile is two operands");
  if (sum.rows != a.rows || a.bytes % 4 != 0 || a.bytes / 4 != b.rows || sum.bytes != b.bytes) {
    Fault("tiles of a product do not fit together");
  }
  for (int m = 0; m < sum.rows; ++m) {
    for (int n = 0; n < sum.bytes / 4; ++n) {
      float parts[2] = {0.0f, 0.0f};
      for (int k = 0; k < a.bytes / 4; ++k) {
        for (int part = 0; part < 2; ++part) {
          const float left = BFloat16At(a.data[m] + 4 * k + 2 * part);
          const float right = BFloat16At(b.data[k] + 4 * n + 2 * part);
          parts[part] = FlushSubnormal(std::fma(left, right, parts[part]));
        }
      }
      float total;
      std::memcpy(&total, sum.data[m] + 4 * n, sizeof(total));
      total = FlushSubnormal(FlushSubnormal(total) + FlushSubnormal(parts[0] + parts[1]));
      std::memcpy(sum.data[m] + 4 * n, &total, sizeof(total));
    }
  }
}

bool Execute(const Instruction& i) {
  constexpr int kNone = 0, kF3 = 2, kF2 = 3;
  const bool memory = i.mod != 3;
  if (i.opcode == 0x49 && i.prefix == kNone && memory && i.reg == 0) {
    LoadConfiguration(reinterpret_cast<const unsigned char*>(i.address + i.index));
  } else if (i.opcode == 0x49 && i.prefix == kNone && !memory && i.reg == 0 && i.rm == 0) {
    registers = Registers{};
  } else if (i.opcode == 0x49 && i.prefix == kF2 && !memory && i.rm == 0) {
    std::memset(Used(i.reg).data, 0, sizeof(Tile::data));
  } else if (i.opcode == 0x4b && i.prefix == kF2 && memory) {
    LoadTile(i);
  } else if (i.opcode == 0x4b && i.prefix == kF3 && memory) {
    StoreTile(i);
  } else if (i.opcode == 0x5c && i.prefix == kF3 && !memory) {
    MultiplyBFloat16(i);
  } else {
    return false;
  }
  return true;
}

void Handle(int, siginfo_t*, void* raw) {
  auto& context = *static_cast<ucontext_t*>(raw);
  auto& next = context.uc_mcontext.gregs[REG_RIP];
  Instruction instruction;
  if (Decode(context, reinterpret_cast<const unsigned char*>(next), &instruction) && Execute(instruction)) {
    next += instruction.length;
    return;
  }
  // Met again, it finds the handler that was there.
  sigaction(SIGILL, &previous, nullptr);
}

}  // namespace

bool OfferAmx() {
  if (cpu::FindPrimitives("amx") != nullptr) return true;
  if (cpu::FindPrimitives("avx512_bf16") == nullptr) return false;
  struct sigaction action = {};
  action.sa_sigaction = Handle;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGILL, &action, &previous);
  cpu::OfferPrimitives(cpu::PrimitivesTable_amx());
  return true;
}

}  // namespace npufa::test
