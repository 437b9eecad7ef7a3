// A part of the matrix library in CANN; here there is one header.
#pragma once

#include "lib/matmul_intf.h"
