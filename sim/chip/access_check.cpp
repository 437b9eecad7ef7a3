#include "access_check.h"

#include <bit>
#include <sstream>

namespace npufa_sim {
namespace {

// Calls body(first, last) for each block; addresses as the operand counts them.
template <class Body>
void ForEachBlock(const Instruction::Operand& operand, Body&& body) {
  const Extent& extent = operand.extent;
  std::int64_t row = static_cast<std::int64_t>(operand.tensor.address) + extent.offset;
  for (std::int64_t r = 0; r < extent.rows; ++r, row += extent.row_stride) {
    std::int64_t block = row;
    for (std::int64_t b = 0; b < extent.blocks; ++b, block += extent.block_stride) body(block, block + extent.bytes);
  }
}

std::string Range(std::uint64_t first, std::uint64_t last, std::uint64_t origin) {
  std::ostringstream out;
  out << "bytes [" << static_cast<std::int64_t>(first - origin) << ", " << static_cast<std::int64_t>(last - origin) << ")";
  return out.str();
}

}  // namespace

AccessCheck::AccessCheck(Core& core, const Instruction& ins, std::uint32_t index, std::uint32_t site)
    : core_(core), ins_(ins), index_(index), site_(site), clock_(core.PipeClock(ins.pipe())) {}

void AccessCheck::Run() {
  for (const Operand& operand : ins_.operands()) {
    if (operand.extent.bytes <= 0 || operand.extent.blocks <= 0 || operand.extent.rows <= 0) continue;
    Bounds(operand);
    Alignment(operand);
  }
  if (!core_.state().options.check) return;
  // All reads come before all writes: an instruction may work in place.
  for (const bool write : {false, true}) {
    for (const Operand& operand : ins_.operands()) {
      if (operand.write != write || operand.extent.bytes <= 0) continue;
      raced_ = unwritten_ = false;
      if (operand.tensor.space == Space::kGM) {
        Global(operand);
      } else {
        Local(operand);
      }
    }
  }
}

KernelFinding AccessCheck::Describe(const char* check, const Operand& operand) const {
  KernelFinding finding = core_.NewFinding(check, ins_.site(), ins_.name());
  finding.operand = operand.tensor.name;
  finding.space = NameOf(operand.tensor.space);
  return finding;
}

// Global addresses count from the start of an argument.
std::string AccessCheck::Place(const Operand& operand, std::int64_t address) const {
  const std::string at = std::to_string(address);
  if (operand.tensor.space != Space::kGM) return at;
  return at + " of " + core_.state().memory.Find(operand.tensor.begin)->region().name;
}

void AccessCheck::OutOfBounds(const Operand& operand, const std::string& message, const char* advice) {
  KernelFinding finding = Describe("out-of-bounds", operand);
  finding.message = message;
  finding.advice = advice;
  core_.Fault(std::move(finding));
}

void AccessCheck::Bounds(const Operand& operand) {
  const Extent& extent = operand.extent;
  const std::uint64_t first = operand.tensor.address + extent.offset;
  const std::uint64_t last =
      first + (extent.rows - 1) * extent.row_stride + (extent.blocks - 1) * extent.block_stride + extent.bytes;
  if (operand.tensor.space == Space::kGM) {
    GmBounds(operand, first, last);
  } else {
    LocalBounds(operand, first, last);
  }
}

void AccessCheck::LocalBounds(const Operand& operand, std::uint64_t first, std::uint64_t last) {
  const TensorRef& tensor = operand.tensor;
  const std::uint32_t size = core_.memory(tensor.space).bytes();
  if (last > size) {
    OutOfBounds(operand, Range(first, last, 0) + " of a memory of " + std::to_string(size) + " bytes",
                size == 0 ? "this core has no such memory: UB belongs to vector cores, L1 and L0 to cube cores"
                          : "check the tensor's address and the sizes of the instruction");
  }
  if (first >= tensor.begin && last <= tensor.end) return;
  OutOfBounds(operand,
              Range(first, last, tensor.begin) + " of a buffer of " + std::to_string(tensor.end - tensor.begin) + " bytes",
              "make the buffer larger in InitBuffer or shorten the instruction");
}

void AccessCheck::GmBounds(const Operand& operand, std::uint64_t first, std::uint64_t last) {
  const TensorRef& tensor = operand.tensor;
  const GmRegionState* region = core_.state().memory.Find(tensor.begin);
  if (!region) {
    OutOfBounds(operand, "the tensor's address belongs to no argument of the kernel",
                "an absent optional argument is a null pointer, an empty tensor has no bytes");
  }
  if (first < region->begin() || last > region->end()) {
    OutOfBounds(operand, Range(first, last, region->begin()) + " of " + region->region().name + ", which has " +
                             std::to_string(region->region().bytes) + " bytes",
                "check offsets, strides and the length of the last tile");
  }
  if (tensor.end > tensor.begin && (first < tensor.begin || last > tensor.end)) {
    OutOfBounds(operand, Range(first, last, tensor.begin) + " of " + region->region().name +
                             " where SetGlobalBuffer gave " + std::to_string(tensor.end - tensor.begin) + " bytes",
                "check the size given to SetGlobalBuffer and the offset");
  }
  if (operand.write && !region->region().writable) {
    OutOfBounds(operand, "writes " + region->region().name + ", an input of the operator", "inputs are read-only");
  }
}

void AccessCheck::Alignment(const Operand& operand) {
  const std::int64_t align = operand.rule.align;
  if (align <= 1) return;
  const Extent& extent = operand.extent;
  const std::int64_t address = static_cast<std::int64_t>(operand.tensor.address) + extent.offset;
  if (address % align == 0 && (extent.blocks == 1 || extent.block_stride % align == 0) &&
      (extent.rows == 1 || extent.row_stride % align == 0)) {
    return;
  }
  KernelFinding finding = Describe("misaligned", operand);
  std::ostringstream message;
  message << "address " << address;
  if (extent.blocks > 1) message << ", block stride " << extent.block_stride;
  if (extent.rows > 1) message << ", row stride " << extent.row_stride;
  message << " must be multiples of " << align << " bytes";
  finding.message = message.str();
  finding.advice = "align the offset, or use DataCopyPad where bytes matter";
  core_.Fault(std::move(finding));
}

bool AccessCheck::Ordered(const Operand& operand, Pipe pipe, std::uint32_t index) const {
  if (clock_.own[SlotOf(core_.id() % kGroupCores, pipe)] >= index) return true;
  return pipe == ins_.pipe() && (pipe == Pipe::kS || operand.rule.ordered_in_pipe);
}

bool AccessCheck::Ordered(const GmTouch& touch) const {
  const int group = touch.core / kGroupCores;
  const int slot = SlotOf(touch.core % kGroupCores, touch.pipe);
  if (touch.core == core_.id() && touch.pipe == ins_.pipe() && touch.pipe == Pipe::kS) return true;
  if (group == core_.group() && clock_.own[slot] >= touch.index) return true;
  return clock_.chip && (*clock_.chip)[group * kGroupSlots + slot] >= touch.index;
}

void AccessCheck::Race(const Operand& operand, std::int64_t address, const char* kind, Pipe other,
                       std::uint32_t other_site, int other_core) {
  if (raced_) return;
  raced_ = true;
  const TraceSite site = core_.state().sites.Get(other_site);
  KernelFinding finding = Describe("race", operand);
  std::ostringstream message;
  message << kind << " at " << Place(operand, address) << " is not ordered after " << site.instruction << " on pipe " << NameOf(other)
          << " at " << site.file << ":" << site.line;
  const bool same_core = other_core == core_.id();
  if (!same_core) message << " of " << CoreName(other_core);
  finding.message = message.str();
  if (!same_core) {
    finding.advice = "let the other core set a cross-core flag after its access and wait for it here, or SyncAll";
  } else if (other == ins_.pipe()) {
    finding.advice = std::string("PipeBarrier<PIPE_") + NameOf(other) + ">() between the two";
  } else {
    finding.advice = std::string("SetFlag<HardEvent::") + NameOf(other) + "_" + NameOf(ins_.pipe()) +
                     "> after the first and WaitFlag before the second, or pass the buffer through a queue";
  }
  core_.Report(std::move(finding));
}

void AccessCheck::Unwritten(const Operand& operand, std::int64_t address) {
  if (unwritten_) return;
  unwritten_ = true;
  KernelFinding finding = Describe("unwritten", operand);
  finding.message = "reads bytes at " + Place(operand, address) + " that this kernel has not written";
  finding.advice = operand.tensor.space == Space::kGM
                       ? "write or clear the bytes first, or wait (CrossCoreWaitFlag, SyncAll) for the core that does"
                       : "write or clear the bytes first, or leave them out by length or mask";
  core_.Report(std::move(finding));
}

void AccessCheck::Local(const Operand& operand) {
  LocalMemory& memory = core_.memory(operand.tensor.space);
  const int pipe = static_cast<int>(ins_.pipe());
  ForEachBlock(operand, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t last_cell = (last - 1) / kCellBytes;
    for (std::int64_t index = first / kCellBytes; index <= last_cell; ++index) {
      LocalCell& cell = memory.cell(index);
      const std::uint32_t mask = LocalMemory::MaskOf(index, first, last);
      // Readers first: whoever waits for them has the writer before them as well.
      for (int reader = 0; operand.write && reader < kPipes; ++reader) {
        // A pipe starts its instructions in order: its own earlier reads are done.
        if (cell.readers[reader] == 0 || reader == pipe) continue;
        if (!Ordered(operand, static_cast<Pipe>(reader), cell.readers[reader])) {
          Race(operand, index * kCellBytes, "write after read", static_cast<Pipe>(reader),
               core_.SiteOfIndex(cell.readers[reader]), core_.id());
        }
      }
      const bool own = cell.writer == index_;
      if (cell.writer != 0 && !own && !Ordered(operand, cell.writer_pipe, cell.writer)) {
        Race(operand, index * kCellBytes, operand.write ? "write after write" : "read after write", cell.writer_pipe,
             core_.SiteOfIndex(cell.writer), core_.id());
      }
      if (!operand.write) {
        const std::uint32_t missing = mask & ~cell.written;
        const bool defined = operand.rule.whole_blocks ? missing != mask : missing == 0;
        if (!defined && !operand.rule.may_be_unwritten) {
          Unwritten(operand, index * kCellBytes + std::countr_zero(missing));
        }
        cell.readers[pipe] = index_;
        continue;
      }
      for (std::uint32_t& reader : cell.readers) reader = 0;
      cell.writer = index_;
      cell.writer_pipe = ins_.pipe();
      cell.written = operand.rule.undefined ? cell.written & ~mask : cell.written | mask;
    }
  });
}

void AccessCheck::Global(const Operand& operand) {
  GmRegionState& region = *core_.state().memory.Find(operand.tensor.begin);
  if (!region.region().writable) return;
  ForEachBlock(operand, [&](std::int64_t first, std::int64_t last) {
    first -= region.origin();
    last -= region.origin();
    const std::int64_t last_cell = (last - 1) / kCellBytes;
    for (std::int64_t cell = first / kCellBytes; cell <= last_cell;) {
      GmPage& page = region.Page(cell);
      const std::int64_t page_end = std::min(last_cell, (cell / kPageCells + 1) * kPageCells - 1);
      std::lock_guard lock(page.mutex);
      for (; cell <= page_end; ++cell) {
        GlobalCell(operand, region, page, cell, LocalMemory::MaskOf(cell, first, last));
      }
    }
  });
}

void AccessCheck::GlobalCell(const Operand& operand, GmRegionState& region, GmPage& page, std::int64_t index,
                             std::uint32_t mask) {
  GmCell& cell = page.cells[index % kPageCells];
  const std::int64_t begin = index * kCellBytes - static_cast<std::int64_t>(region.begin() - region.origin());
  const std::uint32_t unwritten = mask & ~cell.written;
  if (!operand.write && !region.region().written && unwritten != 0) {
    Unwritten(operand, begin + std::countr_zero(unwritten));
  }
  const GmTouch mine{index_, mask, site_, static_cast<std::uint16_t>(core_.id()), ins_.pipe(), operand.write,
                     operand.rule.atomic};
  std::uint32_t kept = 0;
  std::vector<GmTouch>* spill = cell.count > GmCell::kInline ? &page.spill[index % kPageCells] : nullptr;
  const std::uint32_t count = cell.count;
  const auto at = [&](std::uint32_t i) -> GmTouch& {
    return i < GmCell::kInline ? cell.touches[i] : (*spill)[i - GmCell::kInline];
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    const GmTouch touch = at(i);
    const bool own = touch.core == mine.core && touch.index == mine.index;
    const bool ordered = own || Ordered(touch);
    const bool in_order_read = touch.core == mine.core && touch.pipe == mine.pipe && !touch.write;
    const bool conflict = (touch.write || mine.write) && (touch.mask & mask) && !(touch.atomic && mine.atomic);
    if (conflict && !ordered && !in_order_read) {
      Race(operand, begin + std::countr_zero(touch.mask & mask),
           !mine.write ? "read after write" : touch.write ? "write after write" : "write after read", touch.pipe,
           touch.site, touch.core);
    }
    // A touch that everything unordered with it would also be unordered with this one about is no longer needed.
    const bool covered = (touch.mask & ~mask) == 0 && (mine.write || !touch.write) && !(touch.atomic && mine.atomic);
    if (covered && (ordered || in_order_read)) continue;
    at(kept++) = touch;
  }
  cell.count = kept;
  if (kept < GmCell::kInline) {
    cell.touches[kept] = mine;
  } else {
    std::vector<GmTouch>& more = page.spill[index % kPageCells];
    more.resize(kept - GmCell::kInline);
    more.push_back(mine);
  }
  ++cell.count;
  if (operand.write) cell.written |= mask;
}

}  // namespace npufa_sim
