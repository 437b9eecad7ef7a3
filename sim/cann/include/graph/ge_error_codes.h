// Status codes that inference and tiling functions return.
#pragma once

#include <cstdint>

namespace ge {

using graphStatus = std::uint32_t;
const graphStatus GRAPH_FAILED = 0xFFFFFFFF;
const graphStatus GRAPH_SUCCESS = 0;
const graphStatus GRAPH_PARAM_INVALID = 50331649;
const graphStatus GRAPH_PARAM_OUT_OF_RANGE = 50331644;
const graphStatus GRAPH_NULL_PTR = 50331538;

}  // namespace ge
