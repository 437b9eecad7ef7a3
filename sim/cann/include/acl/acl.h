// The Ascend Computing Language.
#pragma once

#include "acl/acl_base.h"
#include "acl/acl_rt.h"

extern "C" {

ACL_FUNC_VISIBILITY aclError aclInit(const char* configPath);
ACL_FUNC_VISIBILITY aclError aclFinalize();
// Text of this thread's last error, nullptr when there is none; reading it clears it.
ACL_FUNC_VISIBILITY const char* aclGetRecentErrMsg();
ACL_FUNC_VISIBILITY float aclFloat16ToFloat(aclFloat16 value);
ACL_FUNC_VISIBILITY aclFloat16 aclFloatToFloat16(float value);

}  // extern "C"
