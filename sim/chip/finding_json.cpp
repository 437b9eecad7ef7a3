#include "finding_json.h"

#include "json.h"

namespace npufa_sim {

std::string FindingJson(const std::string& kernel, const KernelFinding& finding) {
  return JsonList('{', '}')
      .Member("kernel", JsonString(kernel))
      .Member("check", JsonString(finding.check))
      .Member("instruction", JsonString(finding.instruction))
      .Member("operand", JsonString(finding.operand))
      .Member("space", JsonString(finding.space))
      .Member("core", JsonString(finding.core))
      .Member("file", JsonString(finding.file))
      .Member("line", finding.line)
      .Member("message", JsonString(finding.message))
      .Member("advice", JsonString(finding.advice))
      .Member("count", std::to_string(finding.count))
      .Member("note", finding.note ? "true" : "false")
      .Text();
}

}  // namespace npufa_sim
