// A part of the API in CANN; here there is one header.
#pragma once

#include "kernel_operator.h"
