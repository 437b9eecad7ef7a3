// Streams, events, host callbacks and memory of the simulated ACL from many threads at a time: acl_stress SECONDS THREADS.
// Ends with status 1 and a line that says what was wrong; data races are ThreadSanitizer's to find.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "acl/acl.h"

namespace {

using Words = std::vector<std::uint32_t>;

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "acl_stress: %s: %s\n", what, aclGetRecentErrMsg());
  std::exit(1);
}

void Call(aclError status, const char* what) { Require(status == ACL_SUCCESS, what); }

// What every thread records, waits for and asks about, whoever else does.
aclrtEvent shared_event;
std::atomic<std::uint64_t> callbacks{0};

struct Counted {
  std::uint64_t seen = 0;
  bool in_order = true;
};
struct Note {
  Counted* counted;
  std::uint64_t number;
};

void TakeNote(void* data) {
  const std::unique_ptr<Note> note(static_cast<Note*>(data));
  note->counted->in_order &= ++note->counted->seen == note->number;
  ++callbacks;
}

class Worker {
 public:
  explicit Worker(unsigned seed) : random_(seed) {
    Call(aclrtSetDevice(0), "aclrtSetDevice");
    for (aclrtStream& stream : streams_) Call(aclrtCreateStream(&stream), "aclrtCreateStream");
    Call(aclrtMalloc(&word_, sizeof(std::uint64_t), ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  }

  ~Worker() {
    for (aclrtStream stream : streams_) Call(aclrtDestroyStream(stream), "aclrtDestroyStream");
    Call(aclrtFree(word_), "aclrtFree");
  }

  void Step() {
    switch (random_() % 4) {
      case 0: return CopyAcrossStreams();
      case 1: return WaitForValue();
      case 2: return CallBackInOrder();
      default: return ShareEvent();
    }
  }

 private:
  // To the device on one stream, on it and back on another one that waits for an event.
  void CopyAcrossStreams() {
    const std::size_t count = 1 + random_() % 3000, bytes = count * sizeof(std::uint32_t);
    Words source(count), target(count);
    for (std::uint32_t& word : source) word = static_cast<std::uint32_t>(random_());
    void* memory[2];
    aclrtEvent event;
    for (void*& part : memory) Call(aclrtMalloc(&part, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    Call(aclrtCreateEvent(&event), "aclrtCreateEvent");
    const auto copy = [&](void* to, const void* from, aclrtMemcpyKind kind, aclrtStream stream) {
      Call(aclrtMemcpyAsync(to, bytes, from, bytes, kind, stream), "aclrtMemcpyAsync");
    };
    copy(memory[0], source.data(), ACL_MEMCPY_HOST_TO_DEVICE, streams_[0]);
    Call(aclrtRecordEvent(event, streams_[0]), "aclrtRecordEvent");
    Call(aclrtStreamWaitEvent(streams_[1], event), "aclrtStreamWaitEvent");
    copy(memory[1], memory[0], ACL_MEMCPY_DEVICE_TO_DEVICE, streams_[1]);
    copy(target.data(), memory[1], ACL_MEMCPY_DEVICE_TO_HOST, streams_[1]);
    Call(aclrtSynchronizeStream(streams_[1]), "aclrtSynchronizeStream");
    Require(source == target, "a copy across streams has other data");
    Call(aclrtDestroyEvent(event), "aclrtDestroyEvent");
    for (void* part : memory) Call(aclrtFree(part), "aclrtFree");
  }

  // Work behind a wait for a value is done once another stream has written it, not before.
  void WaitForValue() {
    const std::uint64_t value = ++value_;
    auto* note = new Note{&waited_, value};
    Call(aclrtValueWait(word_, value, 0, streams_[0]), "aclrtValueWait");
    Call(aclrtLaunchHostFunc(streams_[0], TakeNote, note), "aclrtLaunchHostFunc");
    Require(waited_.seen == value - 1, "work behind a wait came too early");
    Call(aclrtValueWrite(word_, value, 0, streams_[1]), "aclrtValueWrite");
    Call(aclrtSynchronizeStream(streams_[0]), "aclrtSynchronizeStream");
    Require(waited_.seen == value && waited_.in_order, "work behind a wait did not come");
  }

  void CallBackInOrder() {
    for (int i = 0; i < 20; ++i) {
      Call(aclrtLaunchHostFunc(streams_[0], TakeNote, new Note{&called_, ++launched_}), "aclrtLaunchHostFunc");
    }
    Call(aclrtSynchronizeStream(streams_[0]), "aclrtSynchronizeStream");
    Require(called_.in_order && called_.seen == launched_, "callbacks of a stream are out of order");
  }

  void ShareEvent() {
    aclrtEventRecordedStatus status;
    Call(aclrtRecordEvent(shared_event, streams_[random_() % 2]), "aclrtRecordEvent");
    Call(aclrtStreamWaitEvent(streams_[random_() % 2], shared_event), "aclrtStreamWaitEvent");
    Call(aclrtQueryEventStatus(shared_event, &status), "aclrtQueryEventStatus");
    Call(aclrtSynchronizeEvent(shared_event), "aclrtSynchronizeEvent");
  }

  std::mt19937_64 random_;
  aclrtStream streams_[2];
  void* word_ = nullptr;
  std::uint64_t value_ = 0, launched_ = 0;
  Counted waited_, called_;
};

}  // namespace

int main(int argc, char** argv) {
  Require(argc == 3, "usage: acl_stress SECONDS THREADS");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[1]));
  Call(aclInit(nullptr), "aclInit");
  Call(aclrtSetDevice(0), "aclrtSetDevice");
  Call(aclrtCreateEvent(&shared_event), "aclrtCreateEvent");
  std::atomic<std::uint64_t> steps{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < std::atoi(argv[2]); ++thread) {
    threads.emplace_back([&, thread] {
      Worker worker(static_cast<unsigned>(thread));
      for (; std::chrono::steady_clock::now() < end; ++steps) worker.Step();
    });
  }
  for (std::thread& thread : threads) thread.join();
  Call(aclrtDestroyEvent(shared_event), "aclrtDestroyEvent");
  Call(aclFinalize(), "aclFinalize");
  std::printf("%llu steps, %llu callbacks\n", static_cast<unsigned long long>(steps.load()),
              static_cast<unsigned long long>(callbacks.load()));
  return 0;
}
