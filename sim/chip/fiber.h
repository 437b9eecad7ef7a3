// A program with its own stack that runs until it yields. All switches happen on one host thread.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace npufa_sim {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void Start(std::function<void()> program);  // to be run by Resume(); drops the program before
  void Resume();                              // until the program yields or ends
  void Yield();                               // from inside the program
  // From inside: ends the program where it stands. Nothing is unwound, so it may happen in a destructor or after a
  // fault of the processor; what the program holds is lost.
  [[noreturn]] void Abandon();
  bool InGuard(const void* address) const;  // below the end of the stack
  bool done() const { return done_; }

 private:
  static void Enter(unsigned low, unsigned high);

  std::function<void()> program_;
  ucontext_t here_, caller_;
  std::byte* stack_;
  bool done_ = false;
};

}  // namespace npufa_sim
