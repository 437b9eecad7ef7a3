// The variant of the forward kernels that a tiling key stands for.
#pragma once

#include "forward.h"

// KEY_HALF, KEY_BFLOAT16 and KEY_FLOAT. The compiler finds the keys of a kernel by their literals.
#define NPUFA_RUN_FORWARD(arguments, tilingData)                      \
  if (TILING_KEY_IS(0)) {                                             \
    npufa::RunForward<half, half>(arguments, tilingData);             \
  } else if (TILING_KEY_IS(1)) {                                      \
    npufa::RunForward<bfloat16_t, bfloat16_t>(arguments, tilingData); \
  } else if (TILING_KEY_IS(2)) {                                      \
    npufa::RunForward<float, float>(arguments, tilingData);           \
  }

// Keys and values stored as int8 or float8.
#define NPUFA_RUN_FORWARD_INT8(arguments, tilingData)                        \
  if (TILING_KEY_IS(10)) {                                                   \
    npufa::RunForward<half, int8_t>(arguments, tilingData);                  \
  } else if (TILING_KEY_IS(11)) {                                            \
    npufa::RunForward<bfloat16_t, int8_t>(arguments, tilingData);            \
  } else if (TILING_KEY_IS(12)) {                                            \
    npufa::RunForward<float, int8_t>(arguments, tilingData);                 \
  } else if (TILING_KEY_IS(30)) {                                            \
    npufa::RunForward<half, npufa::Int8Digits>(arguments, tilingData);       \
  } else if (TILING_KEY_IS(31)) {                                            \
    npufa::RunForward<bfloat16_t, npufa::Int8Digits>(arguments, tilingData); \
  } else if (TILING_KEY_IS(32)) {                                            \
    npufa::RunForward<float, npufa::Int8Digits>(arguments, tilingData);      \
  }

// Keys and values stored as float8, with scales that do not change from key to key.
#define NPUFA_RUN_FORWARD_FLOAT8(arguments, tilingData)                  \
  if (TILING_KEY_IS(40)) {                                               \
    npufa::RunForward<half, npufa::Float8>(arguments, tilingData);       \
  } else if (TILING_KEY_IS(41)) {                                        \
    npufa::RunForward<bfloat16_t, npufa::Float8>(arguments, tilingData); \
  }

// Keys and values stored as int4.
#define NPUFA_RUN_FORWARD_INT4(arguments, tilingData)                       \
  if (TILING_KEY_IS(20)) {                                                  \
    npufa::RunForward<half, AscendC::int4b_t>(arguments, tilingData);       \
  } else if (TILING_KEY_IS(21)) {                                           \
    npufa::RunForward<bfloat16_t, AscendC::int4b_t>(arguments, tilingData); \
  } else if (TILING_KEY_IS(22)) {                                           \
    npufa::RunForward<float, AscendC::int4b_t>(arguments, tilingData);      \
  }
