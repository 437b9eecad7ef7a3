// Instructions of the cube core.
#pragma once

#include "fixpipe.h"
#include "fixpipe_older.h"
#include "load_data.h"
#include "mmad.h"
#include "mmad_sparse.h"
