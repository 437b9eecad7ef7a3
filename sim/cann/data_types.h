// Names of element types and formats for messages.
#pragma once

#include <string>

#include "graph/types.h"

namespace npufa_sim {

// DT_FLOAT16; for a value without a name its number.
std::string NameOf(ge::DataType data_type);
std::string NameOf(ge::Format format);

// Formats that store elements in the order of the axes.
bool IsPlain(ge::Format format);

}  // namespace npufa_sim
