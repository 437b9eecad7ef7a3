// Events: recorded and complete at once; their time is that of the host, not of the modelled chip.
#include <chrono>
#include <thread>

#include "acl/acl.h"
#include "errors.h"
#include "stream.h"

namespace npufa_sim {

namespace {

std::uint64_t Now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

aclError InvalidHandle(const char* function, const char* what) {
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, function, std::string(what) + " is not a live " + what);
}

aclError Create(const char* function, aclrtEvent* event) {
  if (event == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "event is null");
  const auto lock = StreamTable::Get().Lock();
  *event = StreamTable::Get().NewEvent();
  return ACL_SUCCESS;
}

// Calls Use(Event&) on a live event that is no part of a capture.
template <class Use>
aclError WithEvent(const char* function, aclrtEvent handle, Use use) {
  const auto lock = StreamTable::Get().Lock();
  Event* event = StreamTable::Get().FindEvent(handle);
  if (event == nullptr) return InvalidHandle(function, "event");
  if (event->graph && event->graph->capturing) {
    return Fail(ACL_ERROR_RT_EVENT_CAPTURED, function, "the event was recorded in a stream that is being captured");
  }
  return use(*event);
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtCreateEvent(aclrtEvent* event) { return Create(__func__, event); }

aclError aclrtCreateEventWithFlag(aclrtEvent* event, std::uint32_t) { return Create(__func__, event); }

aclError aclrtCreateEventExWithFlag(aclrtEvent* event, std::uint32_t) { return Create(__func__, event); }

aclError aclrtDestroyEvent(aclrtEvent handle) {
  const auto lock = StreamTable::Get().Lock();
  Event* event = StreamTable::Get().FindEvent(handle);
  if (event == nullptr) return InvalidHandle(__func__, "event");
  StreamTable::Get().Delete(event);
  return ACL_SUCCESS;
}

aclError aclrtRecordEvent(aclrtEvent handle, aclrtStream stream) {
  const auto lock = StreamTable::Get().Lock();
  Event* event = StreamTable::Get().FindEvent(handle);
  if (event == nullptr) return InvalidHandle(__func__, "event");
  const Stream* found = StreamTable::Get().FindStream(stream);
  if (found == nullptr) return InvalidHandle(__func__, "stream");
  event->nanoseconds = Now();
  event->graph = found->graph;
  return ACL_SUCCESS;
}

// Waiting for an event of a capture makes the waiting stream part of it.
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent handle) {
  const auto lock = StreamTable::Get().Lock();
  Stream* found = StreamTable::Get().FindStream(stream);
  if (found == nullptr) return InvalidHandle(__func__, "stream");
  const Event* event = StreamTable::Get().FindEvent(handle);
  if (event == nullptr) return InvalidHandle(__func__, "event");
  if (event->graph && event->graph->capturing) found->graph = event->graph;
  return ACL_SUCCESS;
}

aclError aclrtResetEvent(aclrtEvent handle, aclrtStream) {
  return WithEvent(__func__, handle, [](Event& event) {
    event.nanoseconds = 0;
    return ACL_SUCCESS;
  });
}

aclError aclrtSynchronizeEvent(aclrtEvent handle) {
  return WithEvent(__func__, handle, [](Event&) { return ACL_SUCCESS; });
}

aclError aclrtQueryEventStatus(aclrtEvent handle, aclrtEventRecordedStatus* status) {
  NPUFA_SIM_REQUIRE_POINTER(status);
  *status = ACL_EVENT_RECORDED_STATUS_COMPLETE;
  return WithEvent(__func__, handle, [](Event&) { return ACL_SUCCESS; });
}

aclError aclrtQueryEventWaitStatus(aclrtEvent handle, aclrtEventWaitStatus* status) {
  NPUFA_SIM_REQUIRE_POINTER(status);
  *status = ACL_EVENT_WAIT_STATUS_COMPLETE;
  return WithEvent(__func__, handle, [](Event&) { return ACL_SUCCESS; });
}

aclError aclrtEventGetTimestamp(aclrtEvent handle, std::uint64_t* timestamp) {
  NPUFA_SIM_REQUIRE_POINTER(timestamp);
  return WithEvent(__func__, handle, [=](const Event& event) {
    if (event.nanoseconds == 0) {
      return Fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "aclrtEventGetTimestamp", "the event was never recorded");
    }
    *timestamp = event.nanoseconds / 1000;
    return ACL_SUCCESS;
  });
}

aclError aclrtEventElapsedTime(float* ms, aclrtEvent startEvent, aclrtEvent endEvent) {
  NPUFA_SIM_REQUIRE_POINTER(ms);
  std::uint64_t times[2] = {};
  const aclrtEvent events[2] = {startEvent, endEvent};
  for (int i = 0; i < 2; ++i) {
    const aclError status = WithEvent(__func__, events[i], [&](const Event& event) {
      times[i] = event.nanoseconds;
      return ACL_SUCCESS;
    });
    if (status != ACL_SUCCESS) return status;
    if (times[i] == 0) {
      return Fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, __func__, "an event was never recorded");
    }
  }
  *ms = static_cast<float>((static_cast<double>(times[1]) - static_cast<double>(times[0])) * 1e-6);
  return ACL_SUCCESS;
}

aclError aclrtProcessReport(std::int32_t timeout) {
  std::this_thread::sleep_for(std::chrono::milliseconds(timeout < 0 ? 100 : timeout));
  return Fail(ACL_ERROR_WAIT_CALLBACK_TIMEOUT, __func__, "no callback within " + std::to_string(timeout) + " ms");
}
