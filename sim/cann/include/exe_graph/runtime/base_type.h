// Status type of functions that the runtime calls.
#pragma once

typedef unsigned int UINT32;
typedef UINT32 KernelStatus;
