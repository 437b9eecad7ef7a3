// One of the shared libraries of CANN that torch_npu is linked against. NPUFA_SIM_NAMES is its list of functions:
//   REAL    libnpufa_sim.so has it, found because this library depends on that one
//   FAILS   no part of the simulator: returns an error code
//   EMPTY   likewise, for functions that return a pointer or a count
//   QUIET   has no effect that matters here: returns 0
//   THROWS  a C++ function, by its mangled name: throws, since what it should return is unknown here
// FAILS, EMPTY and THROWS name themselves in the error text, and once on stderr.
#include "../unsupported.h"

#define ENTRY extern "C" __attribute__((visibility("default")))
#define REAL(name)
#define FAILS(name) \
  ENTRY int name() { return npufa_sim::Unsupported(#name); }
#define EMPTY(name)                \
  ENTRY void* name() {             \
    npufa_sim::Unsupported(#name); \
    return nullptr;                \
  }
#define QUIET(name) \
  ENTRY long name() { return 0; }
#define THROWS(name) \
  ENTRY void name() { npufa_sim::ThrowUnsupported(#name); }

#include NPUFA_SIM_NAMES
