#include "instruction.h"

#include <algorithm>

#include "core.h"

namespace npufa_sim {
namespace {

std::vector<Instruction::Operand>& OpenStorage(Core& core) {
  if (core.open_instructions == static_cast<int>(core.operand_storage.size())) core.operand_storage.emplace_back();
  auto& storage = core.operand_storage[core.open_instructions++];
  storage.clear();
  return storage;
}

// Walks the bytes of an extent in order.
class ByteCursor {
 public:
  ByteCursor(const TensorRef& tensor, const Extent& extent)
      : extent_(extent), base_(static_cast<std::int64_t>(tensor.address) + extent.offset) {}

  bool done() const { return row_ >= extent_.rows; }
  std::int64_t address() const { return base_ + row_ * extent_.row_stride + block_ * extent_.block_stride + byte_; }
  std::int64_t run() const { return std::min(extent_.bytes - byte_, kCellBytes - address() % kCellBytes); }
  void Advance(std::int64_t bytes) {
    byte_ += bytes;
    if (byte_ < extent_.bytes) return;
    byte_ = 0;
    if (++block_ < extent_.blocks) return;
    block_ = 0;
    ++row_;
  }

 private:
  const Extent& extent_;
  std::int64_t base_, row_ = 0, block_ = 0, byte_ = 0;
};

}  // namespace

Instruction::Instruction(const char* name, Pipe pipe, Site site)
    : name_(name), pipe_(pipe), site_(site), core_(Current()), operands_(OpenStorage(core_)) {}

Instruction::~Instruction() { --core_.open_instructions; }

Instruction& Instruction::Read(const TensorRef& tensor, const Extent& extent, OperandRule rule) {
  operands_.push_back({tensor, extent, rule, false});
  return *this;
}

Instruction& Instruction::Write(const TensorRef& tensor, const Extent& extent, OperandRule rule) {
  operands_.push_back({tensor, extent, rule, true});
  return *this;
}

Instruction& Instruction::Require(bool ok, const char* what, std::int64_t got, const char* expected) {
  if (ok) return *this;
  KernelFinding finding = core_.NewFinding("parameter", site_, name_);
  finding.message = std::string(what) + " is " + std::to_string(got) + ", must be " + expected;
  finding.advice = "the instruction has no meaning outside these limits; split it or change the layout";
  core_.Fault(std::move(finding));
}

void Instruction::Issue(const Cost& cost) { core_.Execute(*this, cost); }

bool Instruction::AllWritten(const TensorRef& tensor, const Extent& extent) const {
  if (!core_.state().options.check || tensor.space == Space::kGM) return true;
  LocalMemory& memory = core_.memory(tensor.space);
  const std::int64_t base = static_cast<std::int64_t>(tensor.address) + extent.offset;
  for (std::int64_t row = 0; row < extent.rows; ++row) {
    for (std::int64_t block = 0; block < extent.blocks; ++block) {
      const std::int64_t first = base + row * extent.row_stride + block * extent.block_stride;
      const std::int64_t last = first + extent.bytes;
      if (last > static_cast<std::int64_t>(memory.bytes())) return false;
      if (!memory.AllWritten(first, last)) return false;
    }
  }
  return true;
}

void Instruction::Undefine(const TensorRef& tensor, const Extent& extent) {
  LocalMemory& memory = core_.memory(tensor.space);
  const std::int64_t first = static_cast<std::int64_t>(tensor.address) + extent.offset;
  memory.MarkWritten(first, first + extent.bytes, false);
}

void Instruction::CopyWritten(const TensorRef& dst, const Extent& dst_extent, const TensorRef& src,
                              const Extent& src_extent) {
  if (!core_.state().options.check || src.space == Space::kGM || dst.space == Space::kGM) return;
  LocalMemory& from = core_.memory(src.space);
  LocalMemory& to = core_.memory(dst.space);
  ByteCursor reader(src, src_extent), writer(dst, dst_extent);
  while (!reader.done() && !writer.done()) {
    const std::int64_t bytes = std::min(reader.run(), writer.run());
    const std::int64_t a = reader.address(), b = writer.address();
    const std::uint32_t mask = LocalMemory::MaskOf(0, b % kCellBytes, b % kCellBytes + bytes);
    const std::uint64_t source = from.written(a / kCellBytes) >> (a % kCellBytes);
    const std::uint32_t before = to.written(b / kCellBytes);
    to.SetWritten(b / kCellBytes, (before & ~mask) | (static_cast<std::uint32_t>(source << (b % kCellBytes)) & mask));
    reader.Advance(bytes);
    writer.Advance(bytes);
  }
}

std::uint8_t* Bytes(const TensorRef& tensor) { return Current().HostAddress(tensor); }
const std::uint8_t* BytesWithin(const TensorRef& tensor, std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t end = Current().state().memory.Find(tensor.begin)->end();
  return tensor.address + offset + bytes <= end ? Bytes(tensor) + offset : nullptr;
}

}  // namespace npufa_sim
