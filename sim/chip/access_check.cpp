#include "access_check.h"

#include <bit>
#include <cstring>
#include <functional>
#include <sstream>
#include <string_view>

namespace npufa_sim {
namespace {

// Blocks that follow each other are one; where any byte of a cell counts for all, only if they do not share cells.
Extent Joined(const Instruction::Operand& operand) {
  Extent extent = operand.extent;
  const std::int64_t start = static_cast<std::int64_t>(operand.tensor.address) + extent.offset;
  if (operand.rule.whole_blocks && (start % kCellBytes != 0 || extent.bytes % kCellBytes != 0)) return extent;
  if (extent.blocks > 1 && extent.block_stride == extent.bytes) {
    extent.bytes *= extent.blocks;
    extent.blocks = 1;
  }
  if (extent.rows > 1 && extent.blocks == 1 && extent.row_stride == extent.bytes) {
    extent.bytes *= extent.rows;
    extent.rows = 1;
  }
  return extent;
}

// Calls body(first, last) for each block; addresses as the operand counts them.
template <class Body>
void ForEachBlock(const Instruction::Operand& operand, Body&& body) {
  const Extent extent = Joined(operand);
  std::int64_t row = static_cast<std::int64_t>(operand.tensor.address) + extent.offset;
  for (std::int64_t r = 0; r < extent.rows; ++r, row += extent.row_stride) {
    std::int64_t block = row;
    for (std::int64_t b = 0; b < extent.blocks; ++b, block += extent.block_stride) body(block, block + extent.bytes);
  }
}

template <class T>
std::int64_t FindOnes(const std::uint8_t* bytes, std::int64_t count) {
  constexpr T kOnes = static_cast<T>(~T{0});
  T found = 0;
  for (std::int64_t at = 0; at < count; at += sizeof(T)) {
    T element;
    std::memcpy(&element, bytes + at, sizeof element);
    found |= element == kOnes;
  }
  if (!found) return -1;
  std::int64_t at = 0;
  while (std::memcmp(bytes + at, &kOnes, sizeof kOnes) != 0) at += sizeof(T);
  return at;
}

// Offset of the first element that is as unwritten memory, -1 without.
std::int64_t FindUnwrittenNumber(const std::uint8_t* bytes, std::int64_t count, std::int64_t size) {
  return size == 2 ? FindOnes<std::uint16_t>(bytes, count) : FindOnes<std::uint32_t>(bytes, count);
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
  if (!core_.FollowsOrder() || missed_) return;
  // All reads come before all writes: an instruction may work in place.
  for (const bool write : {false, true}) {
    for (const Operand& operand : ins_.operands()) {
      if (operand.write != write || operand.extent.bytes <= 0 || !Followed(operand)) continue;
      raced_ = wrote_same_ = unwritten_ = step_.known = false;
      if (operand.tensor.space == Space::kGM) {
        Global(operand);
      } else {
        Local(operand);
      }
    }
  }
}

// Without checks: where waits may come of it that take time.
bool AccessCheck::Followed(const Operand& operand) const {
  const LaunchOptions& options = core_.state().options;
  return options.check || operand.tensor.space == Space::kL0C ||
         (options.auto_sync && core_.kind() == CoreKind::kVector);
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

// Orders the instruction after the other pipe where the compiler or the chip would.
bool AccessCheck::OrderedByChip(const Operand& operand, Pipe other) {
  if (core_.AutoSync(other, ins_.pipe(), ins_.site())) return true;
  const bool waits = operand.rule.unit_flag && other != ins_.pipe() && (other == Pipe::kM || other == Pipe::kFIX);
  if (waits) core_.OrderPipes(other, ins_.pipe(), "unit flag", ins_.site());
  return waits;
}

void AccessCheck::Race(const Operand& operand, std::int64_t address, const char* kind, Pipe other,
                       std::uint32_t other_site, int other_core, bool same_bytes) {
  bool& known = same_bytes ? wrote_same_ : raced_;
  if (known || (other_core == core_.id() && OrderedByChip(operand, other))) return;
  known = true;
  if (!core_.state().options.check) return;
  const TraceSite site = core_.state().sites.Get(other_site);
  KernelFinding finding = Describe("race", operand);
  std::ostringstream message;
  message << kind << " at " << Place(operand, address) << " is not ordered after " << site.instruction << " on pipe "
          << NameOf(other) << " at " << site.file << ":" << site.line;
  const bool same_core = other_core == core_.id();
  if (!same_core) message << " of " << CoreName(other_core);
  if (same_bytes) {
    finding.message = message.str() + ", which writes the same bytes";
    finding.advice = "the result does not depend on which comes last";
    return core_.Note(std::move(finding));
  }
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
  if (operand.rule.carries) core_.Note(std::move(finding));
  else core_.Report(std::move(finding));
}

void AccessCheck::Local(const Operand& operand) {
  LocalMemory& memory = core_.memory(operand.tensor.space);
  memory.MakeRoom();
  ForEachBlock(operand, [&](std::int64_t first, std::int64_t last) {
    LocalOrder(operand, memory, first / kCellBytes, (last - 1) / kCellBytes + 1);
    if (!core_.state().options.check) return;
    LocalWritten(operand, memory, first, last);
    if (operand.rule.numbers > 0 && !unwritten_) LocalNumbers(operand, memory, first, last);
  });
}

// Moves of whole blocks and of fractals carry unwritten bytes along, and the copies count as written: their NaN gives
// them away. It is none that arithmetic or a caller makes.
void AccessCheck::LocalNumbers(const Operand& operand, const LocalMemory& memory, std::int64_t first,
                               std::int64_t last) {
  const std::int64_t size = operand.rule.numbers;
  const std::int64_t found = FindUnwrittenNumber(memory.data() + first, last - first, size);
  if (found < 0) return;
  unwritten_ = true;
  KernelFinding finding = Describe("nan", operand);
  finding.message = "the element at " + Place(operand, first + found) +
                    " is a NaN, the one that memory holds which nobody has written";
  finding.advice =
      "a move of whole blocks or fractals carried it here: write or clear what it moves, or leave the "
      "element out; Mmad may raise an error for a NaN";
  core_.Report(std::move(finding));
}

void AccessCheck::LocalOrder(const Operand& operand, LocalMemory& memory, std::int64_t cell, std::int64_t end) {
  while (cell < end) {
    const std::uint32_t id = memory.AccessOf(cell);
    const std::int64_t run_end = memory.EndOfRun(cell, end);
    if (!step_.known || step_.from != id) step_ = {id, 0, NextAccess(operand, memory, id, cell), true};
    if (step_.to != id) memory.SetAccess(cell, run_end, step_.to);
    cell = run_end;
  }
}

// Checks the operand against what a cell has seen; returns what it has seen then.
std::uint32_t AccessCheck::NextAccess(const Operand& operand, LocalMemory& memory, std::uint32_t id,
                                      std::int64_t cell) {
  LocalAccess access = memory.Access(id);
  const int pipe = static_cast<int>(ins_.pipe());
  // Readers first: whoever waits for them has the writer before them as well.
  for (int reader = 0; operand.write && reader < kPipes; ++reader) {
    // A pipe starts its instructions in order: its own earlier reads are done.
    if (access.readers[reader] == 0 || reader == pipe) continue;
    if (!Ordered(operand, static_cast<Pipe>(reader), access.readers[reader])) {
      Race(operand, cell * kCellBytes, "write after read", static_cast<Pipe>(reader),
           core_.SiteOfIndex(access.readers[reader]), core_.id());
    }
  }
  const bool own = access.writer == index_;
  if (access.writer != 0 && !own && !Ordered(operand, access.writer_pipe, access.writer)) {
    Race(operand, cell * kCellBytes, operand.write ? "write after write" : "read after write", access.writer_pipe,
         core_.SiteOfIndex(access.writer), core_.id());
  }
  if (!operand.write) {
    if (access.readers[pipe] == index_) return id;
    access.readers[pipe] = index_;
    return memory.AddAccess(access);
  }
  if (own && access.readers == LocalAccess::Readers{}) return id;
  if (step_.known) return step_.to;
  return memory.AddAccess({index_, {}, ins_.pipe()});
}

void AccessCheck::LocalWritten(const Operand& operand, LocalMemory& memory, std::int64_t first, std::int64_t last) {
  if (operand.write) return memory.MarkWritten(first, last, !operand.rule.undefined);
  if (operand.rule.may_be_unwritten || unwritten_ || memory.AllWritten(first, last)) return;
  for (std::int64_t cell = first / kCellBytes; cell * kCellBytes < last; ++cell) {
    const std::uint32_t mask = LocalMemory::MaskOf(cell, first, last);
    const std::uint32_t missing = mask & ~memory.written(cell);
    const bool defined = operand.rule.whole_blocks ? missing != mask : missing == 0;
    if (!defined) return Unwritten(operand, cell * kCellBytes + std::countr_zero(missing));
  }
}

// Several cores often clear the same place.
std::uint32_t AccessCheck::ContentOf(const Operand& write) const {
  const Operand& read = ins_.operands().front();
  const Extent &from = read.extent, &to = write.extent;
  const bool copies = ins_.pipe() == Pipe::kMTE3 && !write.rule.atomic && ins_.operands().size() == 2 &&
                      from.bytes == to.bytes && from.blocks == to.blocks && from.rows == to.rows;
  if (!copies) return 0;
  std::size_t content = 0;
  const auto add = [&](std::size_t value) { content = (content ^ value) * 0x9E3779B97F4A7C15; };
  for (const std::int64_t part : {to.offset, to.bytes, to.block_stride, to.row_stride}) add(part);
  add(write.tensor.address);
  const auto* bytes = reinterpret_cast<const char*>(core_.memory(read.tensor.space).data());
  ForEachBlock(read, [&](std::int64_t first, std::int64_t last) {
    add(std::hash<std::string_view>{}({bytes + first, static_cast<std::size_t>(last - first)}));
  });
  return static_cast<std::uint32_t>(content >> 32) | 1;
}

void AccessCheck::Global(const Operand& operand) {
  GmRegionState& region = *core_.state().memory.Find(operand.tensor.begin);
  if (!region.region().writable) return;
  content_ = operand.write ? ContentOf(operand) : 0;
  GmPage* page = nullptr;
  std::int64_t page_end = 0;
  std::unique_lock<std::mutex> lock;
  ForEachBlock(operand, [&](std::int64_t first, std::int64_t last) {
    first -= region.origin();
    last -= region.origin();
    const std::int64_t end = (last - 1) / kCellBytes + 1;
    for (std::int64_t cell = first / kCellBytes; cell < end; cell = std::min(end, page_end)) {
      if (cell >= page_end || cell < page_end - kPageCells) {
        if (lock) lock.unlock();
        page = &region.Page(cell);
        page_end = (cell / kPageCells + 1) * kPageCells;
        lock = std::unique_lock(page->mutex);
        page->MakeRoom();
        step_.known = false;
      }
      GlobalCells(operand, region, *page, first, last, cell, std::min(end, page_end));
    }
  });
}

// The cells [cell, end) of one page that the bytes [first, last) lie in.
void AccessCheck::GlobalCells(const Operand& operand, GmRegionState& region, GmPage& page, std::int64_t first,
                              std::int64_t last, std::int64_t cell, std::int64_t end) {
  const bool defined = operand.write || region.region().written;
  for (; cell < end; ++cell) {
    const std::int64_t at = cell % kPageCells;
    const std::int64_t begin = cell * kCellBytes - static_cast<std::int64_t>(region.begin() - region.origin());
    const std::uint32_t mask = LocalMemory::MaskOf(cell, first, last);
    const std::uint32_t unwritten = mask & ~page.written[at];
    if (!defined && unwritten != 0) Unwritten(operand, begin + std::countr_zero(unwritten));
    const std::uint32_t list = page.list[at];
    if (!step_.known || step_.from != list || step_.mask != mask) {
      step_ = {list, mask, NextTouches(operand, page, list, mask, begin), true};
    }
    page.list[at] = step_.to;
    if (operand.write) page.written[at] |= mask;
  }
}

// Checks the operand against the touches of a cell at `begin`; returns the list of those that still matter and its own.
std::uint32_t AccessCheck::NextTouches(const Operand& operand, GmPage& page, std::uint32_t list, std::uint32_t mask,
                                       std::int64_t begin) {
  const GmTouch mine{
      index_,  mask, site_, static_cast<std::uint16_t>(core_.id()), ins_.pipe(), operand.write, operand.rule.atomic,
      content_};
  const std::size_t count = page.TouchesOf(list).size();
  for (std::size_t i = 0; i < count; ++i) {
    const GmTouch touch = page.TouchesOf(list)[i];
    const bool own = touch.core == mine.core && touch.index == mine.index;
    const bool ordered = own || Ordered(touch);
    const bool in_order_read = touch.core == mine.core && touch.pipe == mine.pipe && !touch.write;
    // A scalar unit that reads what another one will write looks at a flag; one that manages its cache is ordered by the
    // value that it finds there.
    const bool scalars = touch.core != mine.core && touch.pipe == Pipe::kS && mine.pipe == Pipe::kS;
    const bool looks = scalars && (!touch.write || (!mine.write && core_.manages_cache()));
    const bool conflict =
        !looks && (touch.write || mine.write) && (touch.mask & mask) && !(touch.atomic && mine.atomic);
    if (conflict && !ordered && !in_order_read) {
      Race(operand, begin + std::countr_zero(touch.mask & mask),
           !mine.write   ? "read after write"
           : touch.write ? "write after write"
                         : "write after read",
           touch.pipe, touch.site, touch.core, mine.content != 0 && mine.content == touch.content);
    }
    // A touch that everything unordered with it would also be unordered with this one about is no longer needed.
    const bool covered = (touch.mask & ~mask) == 0 && (mine.write || !touch.write) && !(touch.atomic && mine.atomic);
    if (!covered || !(ordered || in_order_read)) page.Append(touch);
  }
  page.Append(mine);
  return page.AddList();
}

}  // namespace npufa_sim
