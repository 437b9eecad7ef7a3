// Streams and events. A task ends with the call that submits it, so that order and completion need no machinery; what
// remains is whether handles are valid and which streams belong to a capture.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "graph.h"

namespace npufa_sim {

struct Stream {
  std::int32_t id = 0;
  std::shared_ptr<Graph> graph;  // being captured into; null otherwise
  bool capture_origin = false;   // capture was begun here; other streams join it through an event
};

struct Event {
  std::uint64_t nanoseconds = 0;  // host clock at the last record; 0: never recorded
  std::shared_ptr<Graph> graph;   // recorded on a stream that was being captured
};

// All streams and events of the process. Callers hold the lock while they use what they found.
class StreamTable {
 public:
  static StreamTable& Get();

  std::unique_lock<std::mutex> Lock() { return std::unique_lock<std::mutex>(mutex_); }

  // nullptr for a handle that is not a live one. A null handle is the default stream.
  Stream* FindStream(aclrtStream handle);
  Event* FindEvent(aclrtEvent handle);

  Stream* NewStream();
  Event* NewEvent();
  void Delete(Stream* stream);
  void Delete(Event* event);

  // Takes every stream out of the capture.
  void EndCapture(const Graph* graph);
  // A capture whose mode forbids calls that bypass streams, such as aclrtMemcpy; nullptr when there is none.
  Graph* ForbiddingCapture();
  bool AnyCapture() const;

 private:
  std::mutex mutex_;
  Stream default_stream_;
  std::int32_t next_id_ = 1;
  std::set<Stream*> streams_;
  std::set<Event*> events_;
};

// Fails, and spoils the capture, when a call that waits or bypasses streams happens during a capture.
aclError RequireNoCapture(const char* function);

}  // namespace npufa_sim
