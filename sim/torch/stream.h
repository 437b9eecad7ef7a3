// Streams and events. A stream's work is done with the call that submits it, except behind a wait for a value that no
// other stream has written yet: then it is done with the call that writes the value.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "graph.h"

namespace npufa_sim {

struct Stream {
  std::int32_t id = 0;
  std::shared_ptr<Graph> graph;             // being captured into; null otherwise
  bool capture_origin = false;              // capture was begun here; other streams join it through an event
  std::shared_ptr<TaskGroup> group;         // tasks being captured go here; null outside of task groups
  std::shared_ptr<TaskGroupUpdate> update;  // tasks go here; null otherwise
  std::deque<Step> waiting;                 // the first one waits for another stream
};

struct Event {
  // A wait means the records submitted before it.
  std::atomic<std::uint64_t> submitted{0}, completed{0};
  std::atomic<std::uint64_t> nanoseconds{0};  // host clock at the last record; 0: never recorded
  std::shared_ptr<Graph> graph;               // recorded on a stream that was being captured
};

// All streams and events of the process. Callers hold the lock while they use what they found.
class StreamTable {
 public:
  static StreamTable& Get();

  std::unique_lock<std::mutex> Lock() { return std::unique_lock<std::mutex>(mutex_); }

  // nullptr for a handle that is not a live one. A null handle is the default stream.
  Stream* FindStream(aclrtStream handle);
  std::shared_ptr<Event> FindEvent(aclrtEvent handle);

  Stream* NewStream();
  Event* NewEvent();
  void Delete(Stream* stream);
  void Delete(Event* event);

  // Takes every stream out of the capture.
  void EndCapture(const Graph* graph);
  // A capture whose mode forbids calls that bypass streams, such as aclrtMemcpy; nullptr when there is none.
  Graph* ForbiddingCapture();
  bool AnyCapture() const;
  // A stream whose work waits for another one; nullptr when there is none.
  Stream* WaitingStream();
  std::vector<Stream*> All();

 private:
  std::mutex mutex_;
  Stream default_stream_;
  std::int32_t next_id_ = 1;
  std::set<Stream*> streams_;
  std::map<Event*, std::shared_ptr<Event>> events_;
};

// Appends a step to the stream, or to the graph that it is captured into. Returns the aclError of what was done.
int AppendStep(const char* function, aclrtStream stream, Step step);
// Likewise, with a step that is made when no other thread can append one any more.
int AppendNewStep(const char* function, aclrtStream stream, const std::function<Step()>& make);

// While it is held no thread appends a step or does one: what was appended is done, or waits. Not within a step.
std::unique_lock<std::mutex> HoldSteps();

// Of the calling thread, which may relax what captures forbid it.
aclmdlRICaptureMode& ThreadCaptureMode();

// Fails, and spoils the capture, when a call that waits or bypasses streams happens during a capture.
aclError RequireNoCapture(const char* function);

}  // namespace npufa_sim
