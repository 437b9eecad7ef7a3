// Device addresses of a backward call; unused ones may be null.
#pragma once

#include "../call/sequences.h"

namespace npufa {

struct BackwardArguments {
  SequenceArguments sequences;
  GM_ADDR query;
  GM_ADDR key;
  GM_ADDR value;
  GM_ADDR queryRope;
  GM_ADDR keyRope;
  GM_ADDR gradient;  // of the output
  GM_ADDR bias;
  GM_ADDR dropoutMask;
  GM_ADDR mask;
  GM_ADDR softmaxMax;
  GM_ADDR softmaxSum;
  GM_ADDR output;
  GM_ADDR sink;
  GM_ADDR queryGradient;
  GM_ADDR keyGradient;
  GM_ADDR valueGradient;
  GM_ADDR biasGradient;
  GM_ADDR queryRopeGradient;
  GM_ADDR keyRopeGradient;
  GM_ADDR sinkGradient;
  GM_ADDR workspace;
};

}  // namespace npufa
