// For code above the ACL interface that acts on device memory itself.
#pragma once

namespace npufa_sim {

// True while a stream of this process is being captured.
bool IsCapturing();

enum class TaskOrder {
  kAtOnce,    // with the call that submits it
  kLater,     // after an event that the stream waits for
  kCaptured,  // whenever the graph is replayed
};

// When a task that is submitted to this stream now would be executed.
TaskOrder TaskOrderOf(void* stream);

}  // namespace npufa_sim
