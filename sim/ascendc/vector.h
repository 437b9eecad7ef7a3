// Vector instructions of the Ascend C API.
#pragma once

#include "vector_binary.h"
#include "vector_cast.h"
#include "vector_expression.h"
#include "vector_fill.h"
#include "vector_gather.h"
#include "vector_mask.h"
#include "vector_params.h"
#include "vector_reduce.h"
#include "vector_scalar.h"
#include "vector_select.h"
#include "vector_sort.h"
#include "vector_sort_lists.h"
#include "vector_transpose.h"
#include "vector_transpose_ext.h"
#include "vector_unary.h"
