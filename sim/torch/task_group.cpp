// Task groups of captured graphs: what a group does can be replaced between replays, on another stream.
#include <string>
#include <utility>

#include "acl/acl.h"
#include "errors.h"
#include "graph.h"
#include "stream.h"

namespace npufa_sim {

namespace {

aclError InvalidStream(const char* function) {
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, function, "stream is not a live stream");
}

Step RunGroup(std::shared_ptr<const TaskGroup> group) {
  return [group = std::move(group)]() -> std::optional<int> {
    for (const Task& task : group->tasks) {
      if (const int status = task(); status != ACL_SUCCESS) return status;
    }
    return ACL_SUCCESS;
  };
}

Step ReplaceTasks(std::shared_ptr<TaskGroupUpdate> update) {
  return [update = std::move(update)] {
    update->group->tasks = update->tasks;
    return std::optional<int>(ACL_SUCCESS);
  };
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclmdlRICaptureTaskGrpBegin(aclrtStream handle) {
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(__func__);
  if (!stream->graph) return Fail(ACL_ERROR_RT_STREAM_NOT_CAPTURED, __func__, "the stream is not being captured");
  if (stream->group) return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, "the stream's task group is still open");
  stream->group = std::make_shared<TaskGroup>();
  return ACL_SUCCESS;
}

aclError aclmdlRICaptureTaskGrpEnd(aclrtStream handle, aclrtTaskGrp* group) {
  NPUFA_SIM_REQUIRE_POINTER(group);
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(__func__);
  if (!stream->group) return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, "the stream has no open task group");
  const std::shared_ptr<TaskGroup> closed = std::exchange(stream->group, nullptr);
  stream->graph->steps.push_back(RunGroup(closed));
  stream->graph->groups.push_back(closed);
  *group = closed.get();
  return ACL_SUCCESS;
}

aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream handle, aclrtTaskGrp group) {
  const std::shared_ptr<TaskGroup> found = FindTaskGroup(group);
  const auto lock = StreamTable::Get().Lock();
  Stream* stream = StreamTable::Get().FindStream(handle);
  if (stream == nullptr) return InvalidStream(__func__);
  if (found == nullptr) {
    return Fail(ACL_ERROR_RT_INVALID_HANDLE, __func__, "handle is no task group of a live graph that is captured");
  }
  if (stream->graph) return Fail(ACL_ERROR_RT_STREAM_CAPTURED, __func__, "the stream is being captured");
  if (stream->update) return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, "the stream's update is still open");
  stream->update = std::make_shared<TaskGroupUpdate>(TaskGroupUpdate{found, {}});
  return ACL_SUCCESS;
}

aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream handle) {
  std::shared_ptr<TaskGroupUpdate> update;
  {
    const auto lock = StreamTable::Get().Lock();
    Stream* stream = StreamTable::Get().FindStream(handle);
    if (stream == nullptr) return InvalidStream(__func__);
    if (!stream->update) return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__, "no update was begun on this stream");
    update = std::exchange(stream->update, nullptr);
  }
  if (update->tasks.size() != update->group->tasks.size()) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, __func__,
                "the update has " + std::to_string(update->tasks.size()) + " tasks, expected the group's " +
                    std::to_string(update->group->tasks.size()));
  }
  return AppendStep(__func__, handle, ReplaceTasks(std::move(update)));
}
