#include "stream.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "acl/acl.h"
#include "errors.h"
#include "graph_guard.h"
#include "runtime.h"

namespace npufa_sim {

namespace {

// Tasks of all threads and streams run one after the other. Who holds it sees a stream with steps only if it waits: the
// steps of other threads are done.
std::mutex& Engine() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

StreamTable& StreamTable::Get() {
  static StreamTable* table = new StreamTable;  // never destroyed: torch uses streams while the process ends
  return *table;
}

Stream* StreamTable::FindStream(aclrtStream handle) {
  if (handle == nullptr) return &default_stream_;
  const auto found = streams_.find(static_cast<Stream*>(handle));
  return found == streams_.end() ? nullptr : *found;
}

std::shared_ptr<Event> StreamTable::FindEvent(aclrtEvent handle) {
  const auto found = events_.find(static_cast<Event*>(handle));
  return found == events_.end() ? nullptr : found->second;
}

Stream* StreamTable::NewStream() {
  Stream* stream = new Stream;
  stream->id = next_id_++;
  streams_.insert(stream);
  return stream;
}

Event* StreamTable::NewEvent() {
  auto event = std::make_shared<Event>();
  return events_.emplace(event.get(), event).first->first;
}

void StreamTable::Delete(Stream* stream) {
  streams_.erase(stream);
  delete stream;
}

void StreamTable::Delete(Event* event) { events_.erase(event); }

std::vector<Stream*> StreamTable::All() {
  std::vector<Stream*> all(streams_.begin(), streams_.end());
  all.push_back(&default_stream_);
  return all;
}

void StreamTable::EndCapture(const Graph* graph) {
  for (Stream* stream : All()) {
    if (stream->graph.get() != graph) continue;
    stream->graph.reset();
    stream->group.reset();
    stream->capture_origin = false;
  }
}

Graph* StreamTable::ForbiddingCapture() {
  for (Stream* stream : streams_) {
    const Graph* graph = stream->graph.get();
    if (graph == nullptr || graph->mode == ACL_MODEL_RI_CAPTURE_MODE_RELAXED) continue;
    if (graph->mode == ACL_MODEL_RI_CAPTURE_MODE_GLOBAL || graph->thread == std::this_thread::get_id()) {
      return stream->graph.get();
    }
  }
  return nullptr;
}

bool StreamTable::AnyCapture() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const Stream* stream) { return stream->graph != nullptr; });
}

Stream* StreamTable::WaitingStream() {
  for (Stream* stream : All()) {
    if (!stream->waiting.empty()) return stream;
  }
  return nullptr;
}

bool IsCapturing() {
  const auto lock = StreamTable::Get().Lock();
  return StreamTable::Get().AnyCapture();
}

TaskOrder TaskOrderOf(void* handle) {
  const std::lock_guard<std::mutex> one_at_a_time(Engine());
  const auto lock = StreamTable::Get().Lock();
  const Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return TaskOrder::kAtOnce;
  if (stream->graph || stream->update) return TaskOrder::kCaptured;
  return stream->waiting.empty() ? TaskOrder::kAtOnce : TaskOrder::kLater;
}

aclError RequireNoCapture(const char* function) {
  if (ThreadCaptureMode() == ACL_MODEL_RI_CAPTURE_MODE_RELAXED) return ACL_SUCCESS;
  const auto lock = StreamTable::Get().Lock();
  Graph* graph = StreamTable::Get().ForbiddingCapture();
  if (graph == nullptr) return ACL_SUCCESS;
  graph->invalidated = true;
  return Fail(ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT, function, "not allowed while a stream is being captured");
}

namespace {

// Does the first step of the stream; false when there is none, or it waits. Requires the engine.
bool Advance(Stream* stream, int* status) {
  Step* step = nullptr;
  {
    const auto lock = StreamTable::Get().Lock();
    if (stream->waiting.empty()) return false;
    step = &stream->waiting.front();
  }
  const std::optional<int> result = (*step)();
  if (!result.has_value()) return false;
  if (*result != ACL_SUCCESS) *status = *result;
  const Step done = std::move(*step);  // outlives the lock
  const auto lock = StreamTable::Get().Lock();
  stream->waiting.pop_front();
  return true;
}

// Does what all streams can do, until each of them is done or waits; a failing step does not hold up the others.
// Requires the engine.
int AdvanceAll() {
  int status = ACL_SUCCESS;
  bool progress = true;
  while (progress) {
    progress = false;
    std::vector<Stream*> streams;
    {
      const auto lock = StreamTable::Get().Lock();
      streams = StreamTable::Get().All();
    }
    for (Stream* stream : streams) {
      while (Advance(stream, &status)) progress = true;
    }
  }
  return status;
}

// Where a real device would hang. torch_npu does not pass the text on, so that it is printed too.
aclError Waits(const char* function, const Stream& stream) {
  const std::string text = "stream " + std::to_string(stream.id) +
                           " waits for a value that no stream has written; expected aclrtValueWrite "
                           "(ExternalEvent.record, NPUGraph.update) before the host waits";
  std::fprintf(stderr, "npufa.sim: %s: %s\n", function, text.c_str());
  return Fail(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT, function, text);
}

aclError InvalidStream(const char* function) {
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, function, "stream is not a live stream");
}

aclError Create(const char* function, aclrtStream* stream) {
  if (stream == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "stream is null");
  const auto lock = StreamTable::Get().Lock();
  *stream = StreamTable::Get().NewStream();
  return ACL_SUCCESS;
}

aclError Destroy(const char* function, aclrtStream handle, bool drop_work) {
  const std::lock_guard<std::mutex> one_at_a_time(Engine());
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = handle == nullptr ? nullptr : StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(function);
  if (stream->graph) return Fail(ACL_ERROR_RT_STREAM_CAPTURED, function, "the stream is being captured");
  if (!stream->waiting.empty() && !drop_work) return Waits(function, *stream);
  StreamTable::Get().Delete(stream);
  return ACL_SUCCESS;
}

// For calls that need a live stream and do nothing to it.
aclError RequireStream(const char* function, aclrtStream handle) {
  const auto lock = StreamTable::Get().Lock();
  return StreamTable::Get().FindStream(handle) == nullptr ? InvalidStream(function) : ACL_SUCCESS;
}

aclError Synchronize(const char* function, aclrtStream handle) {
  const std::lock_guard<std::mutex> one_at_a_time(Engine());
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(function);
  if (!stream->graph) return stream->waiting.empty() ? ACL_SUCCESS : Waits(function, *stream);
  stream->graph->invalidated = true;
  return Fail(ACL_ERROR_RT_STREAM_CAPTURED, function, "the stream is being captured and cannot be waited for");
}

aclError SynchronizeAll(const char* function) {
  if (const aclError status = RequireNoCapture(function); status != ACL_SUCCESS) return status;
  const std::lock_guard<std::mutex> one_at_a_time(Engine());
  const auto lock = StreamTable::Get().Lock();
  const Stream* waiting = StreamTable::Get().WaitingStream();
  return waiting == nullptr ? ACL_SUCCESS : Waits(function, *waiting);
}

}  // namespace

int AppendStep(const char* function, aclrtStream handle, Step step) {
  return AppendNewStep(function, handle, [&] { return std::move(step); });
}

std::unique_lock<std::mutex> HoldSteps() { return std::unique_lock<std::mutex>(Engine()); }

int AppendNewStep(const char* function, aclrtStream handle, const std::function<Step()>& make) {
  {
    const auto lock = StreamTable::Get().Lock();
    Stream* stream = StreamTable::Get().FindStream(handle);
    if (stream == nullptr) return InvalidStream(function);
    if (stream->graph) {
      stream->graph->steps.push_back(make());
      return ACL_SUCCESS;
    }
  }
  const std::lock_guard<std::mutex> one_at_a_time(Engine());
  {
    const auto lock = StreamTable::Get().Lock();
    Stream* stream = StreamTable::Get().FindStream(handle);
    if (stream == nullptr) return InvalidStream(function);
    stream->waiting.push_back(make());
  }
  return AdvanceAll();
}

int SubmitToStream(void* handle, std::function<int()> task) {
  {
    const auto lock = StreamTable::Get().Lock();
    Stream* stream = StreamTable::Get().FindStream(handle);
    if (stream == nullptr) return InvalidStream(__func__);
    std::vector<Task>* tasks = stream->group    ? &stream->group->tasks
                               : stream->update ? &stream->update->tasks
                                                : nullptr;
    if (tasks != nullptr) {
      tasks->push_back(std::move(task));
      return ACL_SUCCESS;
    }
  }
  return AppendStep(__func__, handle, [task = std::move(task)] { return std::optional<int>(task()); });
}

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtCreateStream(aclrtStream* stream) { return Create(__func__, stream); }

aclError aclrtCreateStreamWithConfig(aclrtStream* stream, std::uint32_t, std::uint32_t) {
  return Create(__func__, stream);
}

aclError aclrtDestroyStream(aclrtStream stream) { return Destroy(__func__, stream, false); }

aclError aclrtDestroyStreamForce(aclrtStream stream) { return Destroy(__func__, stream, true); }

aclError aclrtSynchronizeStream(aclrtStream stream) { return Synchronize(__func__, stream); }

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, std::int32_t) { return Synchronize(__func__, stream); }

aclError aclrtSynchronizeDevice() { return SynchronizeAll(__func__); }

aclError aclrtSynchronizeDeviceWithTimeout(std::int32_t) { return SynchronizeAll(__func__); }

aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  NPUFA_SIM_REQUIRE_POINTER(status);
  if (TaskOrderOf(stream) == TaskOrder::kLater) {
    *status = ACL_STREAM_STATUS_NOT_READY;
    return ACL_SUCCESS;
  }
  *status = ACL_STREAM_STATUS_COMPLETE;
  return Synchronize(__func__, stream);
}

aclError aclrtStreamGetId(aclrtStream stream, std::int32_t* streamId) {
  NPUFA_SIM_REQUIRE_POINTER(streamId);
  const auto lock = StreamTable::Get().Lock();
  const Stream* found = StreamTable::Get().FindStream(stream);
  if (found == nullptr) return InvalidStream(__func__);
  *streamId = found->id;
  return ACL_SUCCESS;
}

// A failing task makes its own call fail and the stream goes on, whatever the mode.
aclError aclrtSetStreamFailureMode(aclrtStream stream, std::uint64_t) { return RequireStream(__func__, stream); }

aclError aclrtSetStreamAttribute(aclrtStream stream, aclrtStreamAttr, aclrtStreamAttrValue* value) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  return RequireStream(__func__, stream);
}

aclError aclrtSetStreamOverflowSwitch(aclrtStream stream, std::uint32_t flag) {
  if (flag != 0) return Fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, __func__, "overflow detection is not modelled");
  return RequireStream(__func__, stream);
}

aclError aclrtGetStreamOverflowSwitch(aclrtStream stream, std::uint32_t* flag) {
  NPUFA_SIM_REQUIRE_POINTER(flag);
  *flag = 0;
  return RequireStream(__func__, stream);
}

aclError aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc fn, void* args) {
  NPUFA_SIM_REQUIRE_POINTER(fn);
  return SubmitToStream(stream, [=] {
    fn(args);
    return ACL_SUCCESS;
  });
}

aclError aclrtLaunchCallback(aclrtCallback fn, void* userData, aclrtCallbackBlockType, aclrtStream stream) {
  return aclrtLaunchHostFunc(stream, fn, userData);
}

// Callbacks run where they are launched, so that a subscribed thread never has one to process.
aclError aclrtSubscribeReport(std::uint64_t, aclrtStream stream) { return RequireStream(__func__, stream); }

aclError aclrtUnSubscribeReport(std::uint64_t, aclrtStream stream) { return RequireStream(__func__, stream); }
