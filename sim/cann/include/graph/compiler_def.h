// Attributes that differ between compilers.
#pragma once

#define VAR_UNUSED __attribute__((unused))
