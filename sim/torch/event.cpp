// Events: their time is that of the host, not of the modelled chip.
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

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

aclError Create(const char* function, aclrtEvent* event, std::uint32_t flag) {
  if (event == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, function, "event is null");
  if ((flag & ACL_EVENT_EXTERNAL) != 0) {
    return Fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, function, "ACL_EVENT_EXTERNAL is not modelled; use aclrtValueWait");
  }
  const auto lock = StreamTable::Get().Lock();
  *event = StreamTable::Get().NewEvent();
  return ACL_SUCCESS;
}

// Calls use(event) on a live event that is no part of a capture.
template <class Use>
aclError WithEvent(const char* function, aclrtEvent handle, Use use) {
  const auto lock = StreamTable::Get().Lock();
  const std::shared_ptr<Event> event = StreamTable::Get().FindEvent(handle);
  if (event == nullptr) return InvalidHandle(function, "event");
  if (event->graph && event->graph->capturing) {
    return Fail(ACL_ERROR_RT_EVENT_CAPTURED, function, "the event was recorded in a stream that is being captured");
  }
  return use(*event);
}

bool IsComplete(const Event& event) { return event.completed >= event.submitted; }

// Streams of several threads may record one event, whose records need not be done in the order of their numbers.
Step RecordStep(std::shared_ptr<Event> event) {
  const std::uint64_t record = ++event->submitted;
  return [event = std::move(event), record] {
    event->nanoseconds = Now();
    if (event->completed < record) event->completed = record;
    return std::optional<int>(ACL_SUCCESS);
  };
}

Step WaitStep(std::shared_ptr<Event> event) {
  const std::uint64_t record = event->submitted;
  return [event = std::move(event), record]() -> std::optional<int> {
    return event->completed >= record ? std::optional<int>(ACL_SUCCESS) : std::nullopt;
  };
}

// The live stream and event of a call, found under the lock; null where a handle is not live.
struct Found {
  Found(aclrtStream stream_handle, aclrtEvent event_handle)
      : lock(StreamTable::Get().Lock()), stream(StreamTable::Get().FindStream(stream_handle)),
        event(StreamTable::Get().FindEvent(event_handle)) {}

  aclError Error(const char* function) const {
    if (event == nullptr) return InvalidHandle(function, "event");
    return stream == nullptr ? InvalidHandle(function, "stream") : ACL_SUCCESS;
  }

  std::unique_lock<std::mutex> lock;
  Stream* stream;
  std::shared_ptr<Event> event;
};

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclError aclrtCreateEvent(aclrtEvent* event) { return Create(__func__, event, 0); }

aclError aclrtCreateEventWithFlag(aclrtEvent* event, std::uint32_t flag) { return Create(__func__, event, flag); }

aclError aclrtCreateEventExWithFlag(aclrtEvent* event, std::uint32_t flag) { return Create(__func__, event, flag); }

aclError aclrtDestroyEvent(aclrtEvent handle) {
  const auto lock = StreamTable::Get().Lock();
  const std::shared_ptr<Event> event = StreamTable::Get().FindEvent(handle);
  if (event == nullptr) return InvalidHandle(__func__, "event");
  StreamTable::Get().Delete(event.get());
  return ACL_SUCCESS;
}

// In a capture events only tell which streams belong to it.
aclError aclrtRecordEvent(aclrtEvent handle, aclrtStream stream) {
  std::shared_ptr<Event> event;
  {
    const Found found(stream, handle);
    if (const aclError status = found.Error(__func__); status != ACL_SUCCESS) return status;
    event = found.event;
    event->graph = found.stream->graph;
    if (event->graph) {
      event->nanoseconds = Now();
      return ACL_SUCCESS;
    }
  }
  return AppendNewStep(__func__, stream, [=] { return RecordStep(event); });
}

// Waiting for an event of a capture makes the waiting stream part of it.
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent handle) {
  std::shared_ptr<Event> event;
  {
    const Found found(stream, handle);
    if (const aclError status = found.Error(__func__); status != ACL_SUCCESS) return status;
    event = found.event;
    if (event->graph && event->graph->capturing) found.stream->graph = event->graph;
    if (found.stream->graph) return ACL_SUCCESS;
  }
  return AppendNewStep(__func__, stream, [=] { return WaitStep(event); });
}

aclError aclrtResetEvent(aclrtEvent handle, aclrtStream) {
  return WithEvent(__func__, handle, [](Event& event) {
    event.nanoseconds = 0;
    return ACL_SUCCESS;
  });
}

aclError aclrtSynchronizeEvent(aclrtEvent handle) {
  const std::unique_lock<std::mutex> held = HoldSteps();
  return WithEvent(__func__, handle, [](const Event& event) {
    if (IsComplete(event)) return ACL_SUCCESS;
    return Fail(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, "aclrtSynchronizeEvent",
                "the event's stream waits for a value that no stream has written");
  });
}

aclError aclrtQueryEventStatus(aclrtEvent handle, aclrtEventRecordedStatus* status) {
  NPUFA_SIM_REQUIRE_POINTER(status);
  return WithEvent(__func__, handle, [=](const Event& event) {
    *status = IsComplete(event) ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
    return ACL_SUCCESS;
  });
}

aclError aclrtQueryEventWaitStatus(aclrtEvent handle, aclrtEventWaitStatus* status) {
  NPUFA_SIM_REQUIRE_POINTER(status);
  return WithEvent(__func__, handle, [=](const Event& event) {
    *status = IsComplete(event) ? ACL_EVENT_WAIT_STATUS_COMPLETE : ACL_EVENT_WAIT_STATUS_NOT_READY;
    return ACL_SUCCESS;
  });
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
