// Start and end of the aclnn library.
#pragma once

#include "aclnn/acl_meta.h"

extern "C" {

ACL_FUNC_VISIBILITY aclnnStatus aclnnInit(const char* configPath);
ACL_FUNC_VISIBILITY aclnnStatus aclnnFinalize();

}  // extern "C"
