#include "findings.h"

#include <algorithm>
#include <sstream>

namespace npufa_sim {

void FindingStore::Add(KernelFinding finding) {
  std::lock_guard lock(mutex_);
  const auto key = std::make_tuple(finding.check, finding.file, finding.line, finding.instruction, finding.operand);
  const auto [found, is_new] = index_.emplace(key, findings_.size());
  if (is_new) {
    findings_.push_back(std::move(finding));
  } else {
    ++findings_[found->second].count;
  }
}

std::vector<KernelFinding> FindingStore::Take() {
  std::lock_guard lock(mutex_);
  index_.clear();
  return std::move(findings_);
}

std::string FormatFindings(const std::string& kernel, const std::vector<KernelFinding>& findings) {
  constexpr std::size_t kShown = 12;
  std::ostringstream out;
  const auto problems = std::count_if(findings.begin(), findings.end(), [](const auto& f) { return !f.note; });
  out << "kernel " << kernel << ": the simulator found ";
  if (problems == 0) out << "no problem";
  else out << problems << (problems == 1 ? " problem" : " problems");
  for (std::size_t i = 0; i < findings.size() && i < kShown; ++i) {
    const KernelFinding& finding = findings[i];
    out << "\n  [" << (finding.note ? "note: " : "") << finding.check << "] " << finding.file << ":" << finding.line
        << ": " << finding.instruction;
    if (!finding.operand.empty()) out << " " << finding.operand;
    if (!finding.space.empty()) out << " in " << finding.space;
    out << " (" << finding.core << "): " << finding.message;
    if (finding.count > 1) out << " (" << finding.count << " times)";
    if (!finding.advice.empty()) out << "\n    " << finding.advice;
  }
  if (findings.size() > kShown) out << "\n  ... and " << findings.size() - kShown << " more";
  return out.str();
}

}  // namespace npufa_sim
