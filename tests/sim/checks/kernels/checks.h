// What the broken kernels share. Each kernel is a template with a flag; TWINS makes its broken and its correct entry.
// The statement that a report must name carries the comment BUG and the kernel's name.
#pragma once

#include "kernel_operator.h"

using namespace AscendC;

// Two inputs, the output, and memory with undefined contents.
struct Arguments {
  GM_ADDR x;
  GM_ADDR y;
  GM_ADDR z;
  GM_ADDR workspace;
};

template <class T>
GlobalTensor<T> Gm(GM_ADDR address) {
  GlobalTensor<T> tensor;
  tensor.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
  return tensor;
}

template <class T, TPosition position = TPosition::VECCALC>
LocalTensor<T> Buffer(TPipe& pipe, uint32_t elements) {
  TBuf<position> buffer;
  pipe.InitBuffer(buffer, elements * sizeof(T));
  return buffer.template Get<T>();
}

// Orders the second pipe of `event` after the first, except where that is what is missing.
template <HardEvent event, HardEvent missing = HardEvent::MAX>
void Order() {
  if constexpr (event != missing) {
    SetFlag<event>(EVENT_ID3);  // TPipe keeps the lower ones of M_MTE1
    WaitFlag<event>(EVENT_ID3);
  }
}

#define ENTRY(name, task_type, function)                                                \
  __global__ __aicore__ void name(GM_ADDR x, GM_ADDR y, GM_ADDR z, GM_ADDR workspace) { \
    KERNEL_TASK_TYPE_DEFAULT(task_type);                                                \
    function(Arguments{x, y, z, workspace});                                            \
  }
#define TWINS(name, task_type)                \
  ENTRY(name##_broken, task_type, name<true>) \
  ENTRY(name##_correct, task_type, name<false>)
// For kernels with a parameter that says which part is left out.
#define TWINS_OF(name, task_type, kernel, missing, nothing) \
  ENTRY(name##_broken, task_type, kernel<missing>)          \
  ENTRY(name##_correct, task_type, kernel<nothing>)
