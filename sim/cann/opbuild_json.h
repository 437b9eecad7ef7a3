// Definitions of operators as JSON, for graph converters.
#pragma once

#include <string>

namespace npufa_sim {

// All registered operators: type -> {"inputs": [...], "attrs": [...], "outputs": [...]}, in the order of the definition.
std::string DefinitionsAsJson();

}  // namespace npufa_sim
