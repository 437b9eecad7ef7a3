// Capture of a stream's tasks into a graph, and its replay.
#include "graph.h"

#include <fstream>
#include <map>
#include <mutex>
#include <utility>

#include "acl/acl.h"
#include "errors.h"
#include "runtime.h"
#include "stream.h"

namespace npufa_sim {

namespace {

// Graphs that the caller holds a handle to; under the lock of the stream table.
std::map<aclmdlRI, std::shared_ptr<Graph>>& Graphs() {
  static auto* graphs = new std::map<aclmdlRI, std::shared_ptr<Graph>>;
  return *graphs;
}

std::shared_ptr<Graph> FindGraph(aclmdlRI handle) {
  const auto lock = StreamTable::Get().Lock();
  const auto found = Graphs().find(handle);
  return found == Graphs().end() ? nullptr : found->second;
}

aclError InvalidGraph(const char* function) {
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, function, "modelRI is not a live graph");
}

aclError InvalidStream(const char* function) {
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, function, "stream is not a live stream");
}

// One replay; steps of the graph may wait in the middle of it.
Step Replay(std::shared_ptr<const Graph> graph) {
  return [graph = std::move(graph), next = std::size_t{0}]() mutable -> std::optional<int> {
    for (; next < graph->steps.size(); ++next) {
      const std::optional<int> status = graph->steps[next]();
      if (status != ACL_SUCCESS) return status;
    }
    return ACL_SUCCESS;
  };
}

}  // namespace

aclmdlRICaptureMode& ThreadCaptureMode() {
  thread_local aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  return mode;
}

std::shared_ptr<TaskGroup> FindTaskGroup(aclrtTaskGrp handle) {
  const auto lock = StreamTable::Get().Lock();
  for (const auto& [ri, graph] : Graphs()) {
    if (graph->capturing) continue;
    for (const auto& group : graph->groups) {
      if (group.get() == handle) return group;
    }
  }
  return nullptr;
}

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclmdlRICaptureBegin(aclrtStream handle, aclmdlRICaptureMode mode) {
  static std::uint32_t last_id = 0;
  const auto lock = StreamTable::Get().Lock();
  if (handle == nullptr) {
    return Fail(ACL_ERROR_RT_STREAM_CAPTURED, __func__, "the default stream cannot be captured; expected another one");
  }
  Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(__func__);
  if (stream->graph) return Fail(ACL_ERROR_RT_STREAM_CAPTURED, __func__, "the stream is being captured already");
  auto graph = std::make_shared<Graph>();
  graph->id = ++last_id;
  graph->mode = mode;
  graph->thread = std::this_thread::get_id();
  stream->graph = graph;
  stream->capture_origin = true;
  Graphs()[graph.get()] = graph;
  return ACL_SUCCESS;
}

aclError aclmdlRICaptureGetInfo(aclrtStream handle, aclmdlRICaptureStatus* status, aclmdlRI* modelRI) {
  NPUFA_SIM_REQUIRE_POINTER(status);
  const auto lock = StreamTable::Get().Lock();
  const Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(__func__);
  const Graph* graph = stream->graph.get();
  *status = graph == nullptr     ? ACL_MODEL_RI_CAPTURE_STATUS_NONE
            : graph->invalidated ? ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED
                                 : ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE;
  if (modelRI != nullptr) *modelRI = const_cast<Graph*>(graph);
  return ACL_SUCCESS;
}

aclError aclmdlRICaptureEnd(aclrtStream handle, aclmdlRI* modelRI) {
  NPUFA_SIM_REQUIRE_POINTER(modelRI);
  const auto lock = StreamTable::Get().Lock();
  const Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(__func__);
  if (!stream->graph || !stream->capture_origin) {
    return Fail(ACL_ERROR_RT_STREAM_NOT_CAPTURED, __func__, "no capture was begun on this stream");
  }
  const std::shared_ptr<Graph> graph = stream->graph;
  if (stream->group) graph->invalidated = true;
  StreamTable::Get().EndCapture(graph.get());
  graph->capturing = false;
  if (graph->invalidated) {
    Graphs().erase(graph.get());
    *modelRI = nullptr;
    return Fail(ACL_ERROR_RT_STREAM_CAPTURED, __func__, "a call that cannot be captured has spoilt the graph");
  }
  *modelRI = graph.get();
  return ACL_SUCCESS;
}

aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode* mode) {
  NPUFA_SIM_REQUIRE_POINTER(mode);
  std::swap(ThreadCaptureMode(), *mode);
  return ACL_SUCCESS;
}

aclError aclmdlRIExecuteAsync(aclmdlRI modelRI, aclrtStream stream) {
  const std::shared_ptr<Graph> graph = FindGraph(modelRI);
  if (graph == nullptr) return InvalidGraph(__func__);
  if (graph->capturing) return Fail(ACL_ERROR_RT_MODEL_CAPTURED, __func__, "the graph is still being captured");
  {
    const auto lock = StreamTable::Get().Lock();
    const Stream* found = StreamTable::Get().FindStream(stream);
    if (found == nullptr) return InvalidStream(__func__);
    if (found->graph) {
      return Fail(ACL_ERROR_RT_STREAM_CAPTURED, __func__, "a graph cannot be replayed into another one");
    }
  }
  return AppendStep(__func__, stream, Replay(graph));
}

aclError aclmdlRIDestroy(aclmdlRI modelRI) {
  const auto lock = StreamTable::Get().Lock();
  return Graphs().erase(modelRI) == 1 ? ACL_SUCCESS : InvalidGraph(__func__);
}

aclError aclmdlRIDebugJsonPrint(aclmdlRI modelRI, const char* path, std::uint32_t) {
  NPUFA_SIM_REQUIRE_POINTER(path);
  const std::shared_ptr<Graph> graph = FindGraph(modelRI);
  if (graph == nullptr) return InvalidGraph(__func__);
  std::ofstream file(path);
  file << "{\"id\": " << graph->id << ", \"steps\": " << graph->steps.size() << "}\n";
  return file ? ACL_SUCCESS : Fail(ACL_ERROR_INVALID_PARAM, __func__, std::string(path) + " cannot be written");
}

aclError aclmdlRIGetId(aclmdlRI modelRI, std::uint32_t* modelRIId) {
  NPUFA_SIM_REQUIRE_POINTER(modelRIId);
  const std::shared_ptr<Graph> graph = FindGraph(modelRI);
  if (graph == nullptr) return InvalidGraph(__func__);
  *modelRIId = graph->id;
  return ACL_SUCCESS;
}
