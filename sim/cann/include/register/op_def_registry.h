// Registration of operator definitions.
#pragma once

#include "register/op_def.h"
#include "register/op_def_factory.h"

#define OP_ADD(op_type, ...)                  \
  static int VAR_UNUSED g_##op_type##_added = \
      ops::OpDefFactory::OpDefRegister(#op_type, [](const char* name) { return op_type(name); })
