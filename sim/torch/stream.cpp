#include "stream.h"

#include <algorithm>
#include <cstdint>

#include "acl/acl.h"
#include "errors.h"
#include "graph_guard.h"
#include "runtime.h"

namespace npufa_sim {

StreamTable& StreamTable::Get() {
  static StreamTable* table = new StreamTable;  // never destroyed: torch uses streams while the process ends
  return *table;
}

Stream* StreamTable::FindStream(aclrtStream handle) {
  if (handle == nullptr) return &default_stream_;
  const auto found = streams_.find(static_cast<Stream*>(handle));
  return found == streams_.end() ? nullptr : *found;
}

Event* StreamTable::FindEvent(aclrtEvent handle) {
  const auto found = events_.find(static_cast<Event*>(handle));
  return found == events_.end() ? nullptr : *found;
}

Stream* StreamTable::NewStream() {
  Stream* stream = new Stream;
  stream->id = next_id_++;
  streams_.insert(stream);
  return stream;
}

Event* StreamTable::NewEvent() { return *events_.insert(new Event).first; }

void StreamTable::Delete(Stream* stream) {
  streams_.erase(stream);
  delete stream;
}

void StreamTable::Delete(Event* event) {
  events_.erase(event);
  delete event;
}

void StreamTable::EndCapture(const Graph* graph) {
  const auto leave = [&](Stream* stream) {
    if (stream->graph.get() != graph) return;
    stream->graph.reset();
    stream->capture_origin = false;
  };
  leave(&default_stream_);
  for (Stream* stream : streams_) leave(stream);
}

Graph* StreamTable::ForbiddingCapture() {
  for (Stream* stream : streams_) {
    if (stream->graph && stream->graph->mode != ACL_MODEL_RI_CAPTURE_MODE_RELAXED) return stream->graph.get();
  }
  return nullptr;
}

bool StreamTable::AnyCapture() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const Stream* stream) { return stream->graph != nullptr; });
}

bool IsCapturing() {
  const auto lock = StreamTable::Get().Lock();
  return StreamTable::Get().AnyCapture();
}

aclError RequireNoCapture(const char* function) {
  const auto lock = StreamTable::Get().Lock();
  Graph* graph = StreamTable::Get().ForbiddingCapture();
  if (graph == nullptr) return ACL_SUCCESS;
  graph->invalidated = true;
  return Fail(ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT, function, "not allowed while a stream is being captured");
}

namespace {

// Tasks of all threads and streams run one after the other.
std::mutex& Engine() {
  static std::mutex mutex;
  return mutex;
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

aclError Destroy(const char* function, aclrtStream handle) {
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = handle == nullptr ? nullptr : StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(function);
  if (stream->graph) return Fail(ACL_ERROR_RT_STREAM_CAPTURED, function, "the stream is being captured");
  StreamTable::Get().Delete(stream);
  return ACL_SUCCESS;
}

// For calls that need a live stream and do nothing to it.
aclError RequireStream(const char* function, aclrtStream handle) {
  const auto lock = StreamTable::Get().Lock();
  return StreamTable::Get().FindStream(handle) == nullptr ? InvalidStream(function) : ACL_SUCCESS;
}

aclError Synchronize(const char* function, aclrtStream handle) {
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(function);
  if (!stream->graph) return ACL_SUCCESS;
  stream->graph->invalidated = true;
  return Fail(ACL_ERROR_RT_STREAM_CAPTURED, function, "the stream is being captured and cannot be waited for");
}

}  // namespace

int SubmitToStream(void* stream, std::function<int()> task) {
  {
    const auto lock = StreamTable::Get().Lock();
    Stream* found = StreamTable::Get().FindStream(stream);
    if (found == nullptr) return InvalidStream(__func__);
    if (found->graph) {
      found->graph->tasks.push_back(std::move(task));
      return ACL_SUCCESS;
    }
  }
  const std::lock_guard<std::mutex> one_at_a_time(Engine());
  return task();
}

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtCreateStream(aclrtStream* stream) { return Create(__func__, stream); }

aclError aclrtCreateStreamWithConfig(aclrtStream* stream, std::uint32_t, std::uint32_t) {
  return Create(__func__, stream);
}

aclError aclrtDestroyStream(aclrtStream stream) { return Destroy(__func__, stream); }

aclError aclrtDestroyStreamForce(aclrtStream stream) { return Destroy(__func__, stream); }

aclError aclrtSynchronizeStream(aclrtStream stream) { return Synchronize(__func__, stream); }

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, std::int32_t) { return Synchronize(__func__, stream); }

aclError aclrtSynchronizeDevice() { return RequireNoCapture(__func__); }

aclError aclrtSynchronizeDeviceWithTimeout(std::int32_t) { return RequireNoCapture(__func__); }

aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  NPUFA_SIM_REQUIRE_POINTER(status);
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
