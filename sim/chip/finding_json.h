// A finding as JSON.
#pragma once

#include <string>

#include "launch.h"

namespace npufa_sim {

std::string FindingJson(const std::string& kernel, const KernelFinding& finding);

}  // namespace npufa_sim
