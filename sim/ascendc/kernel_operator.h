// The Ascend C kernel API (CANN 8.x and 9, dav-2201) on the host compiler.
#pragma once

#if defined(__DAV_C220_CUBE__) == defined(__DAV_C220_VEC__)
#error "compile a kernel with exactly one of -D__DAV_C220_CUBE__ (cube program) and -D__DAV_C220_VEC__ (vector program)"
#endif

#include "ascendc/common.h"
#include "ascendc/control.h"
#include "ascendc/cube.h"
#include "ascendc/data_copy.h"
#include "ascendc/data_copy_slice.h"
#include "ascendc/debug.h"
#include "ascendc/dtypes.h"
#include "ascendc/gm_sync.h"
#include "ascendc/intrinsics.h"
#include "ascendc/launch_syntax.h"
#include "ascendc/list_tensor.h"
#include "ascendc/macros.h"
#include "ascendc/pipe.h"
#include "ascendc/pipe_pool.h"
#include "ascendc/sync.h"
#include "ascendc/system.h"
#include "ascendc/tensor.h"
#include "ascendc/toolkit_names.h"
#include "ascendc/vector.h"

#ifdef NPUFA_SIM_TOOLKIT_LIBRARIES
#include "ascendc/toolkit_libraries.h"
#endif
