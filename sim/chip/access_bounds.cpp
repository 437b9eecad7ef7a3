// Where an operand may lie: inside its memory and buffer, on the hardware's grid.
#include <sstream>
#include <string>
#include <utility>

#include "access_check.h"

namespace npufa_sim {
namespace {

std::string Range(std::uint64_t first, std::uint64_t last, std::uint64_t origin) {
  std::ostringstream out;
  out << "bytes [" << static_cast<std::int64_t>(first - origin) << ", " << static_cast<std::int64_t>(last - origin)
      << ")";
  return out.str();
}

}  // namespace

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
  LocalMemory& memory = core_.memory(tensor.space);
  const std::uint32_t size = memory.bytes();
  if (last > size) {
    OutOfBounds(operand, Range(first, last, 0) + " of a memory of " + std::to_string(size) + " bytes",
                size == 0 ? "this core has no such memory: UB belongs to vector cores, L1 and L0 to cube cores"
                          : "check the tensor's address and the sizes of the instruction");
  }
  if (first >= tensor.begin && last <= tensor.end) return memory.Use(first, last);
  const std::string message =
      Range(first, last, tensor.begin) + " of a buffer of " + std::to_string(tensor.end - tensor.begin) + " bytes";
  if (!tensor.declared)
    OutOfBounds(operand, message, "make the buffer larger in InitBuffer or shorten the instruction");
  memory.Use(first, last);
  KernelFinding finding = Describe("declared-size", operand);
  finding.message = message;
  finding.advice = "the memory goes on behind the tensor; declare the size that is used";
  core_.Note(std::move(finding));
}

// The runtime's memory goes on that far behind an argument.
constexpr std::uint64_t kBehind = 32;

void AccessCheck::GmBounds(const Operand& operand, std::uint64_t first, std::uint64_t last) {
  const TensorRef& tensor = operand.tensor;
  const GmRegionState* region = core_.state().memory.Find(tensor.begin);
  if (!region) {
    OutOfBounds(operand, "the tensor's address belongs to no argument of the kernel",
                "an absent optional argument is a null pointer, an empty tensor has no bytes");
  }
  if (first < region->begin() || last > region->end()) {
    KernelFinding finding = Describe("out-of-bounds", operand);
    finding.message = Range(first, last, region->begin()) + " of " + region->region().name + ", which has " +
                      std::to_string(region->region().bytes) + " bytes";
    finding.advice = "check offsets, strides and the length of the last tile";
    missed_ = operand.rule.may_miss && first >= region->begin() && last <= region->end() + kBehind;
    if (!missed_) core_.Fault(std::move(finding));
    core_.Report(std::move(finding));
    return;
  }
  if (tensor.end > tensor.begin && (first < tensor.begin || last > tensor.end)) {
    OutOfBounds(operand,
                Range(first, last, tensor.begin) + " of " + region->region().name + " where SetGlobalBuffer gave " +
                    std::to_string(tensor.end - tensor.begin) + " bytes",
                "check the size given to SetGlobalBuffer and the offset");
  }
  if (operand.write && !region->region().writable) {
    OutOfBounds(operand, "writes " + region->region().name + ", an input of the operator", "inputs are read-only");
  }
  core_.Reach(region, first, last);
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

}  // namespace npufa_sim
