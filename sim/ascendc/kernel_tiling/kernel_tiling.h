// The structs that tiling of the advanced libraries fills in: those of the toolkit on -I.
#pragma once

#if __has_include_next(<kernel_tiling/kernel_tiling.h>)
#include_next <kernel_tiling/kernel_tiling.h>
#endif
