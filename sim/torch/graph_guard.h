// For code above the ACL interface that acts on device memory itself.
#pragma once

namespace npufa_sim {

// True while a stream of this process is being captured.
bool IsCapturing();

}  // namespace npufa_sim
