#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace npufa_sim {
namespace {

constexpr std::size_t kStackBytes = std::size_t{1} << 20;
constexpr std::size_t kGuardBytes = 64 * 1024;  // the largest page of aarch64

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuardBytes, PROT_NONE);
  stack_ = static_cast<std::byte*>(memory);
}

void Fiber::Start(std::function<void()> program) {
  program_ = std::move(program);
  done_ = false;
  getcontext(&here_);
  here_.uc_stack.ss_sp = stack_ + kGuardBytes;
  here_.uc_stack.ss_size = kStackBytes;
  here_.uc_link = &caller_;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&here_, reinterpret_cast<void (*)()>(&Fiber::Enter), 2, static_cast<unsigned>(self),
              static_cast<unsigned>(self >> 32));
}

Fiber::~Fiber() { munmap(stack_, kStackBytes + kGuardBytes); }

void Fiber::Enter(unsigned low, unsigned high) {
  auto* self = reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(low) | (static_cast<std::uintptr_t>(high) << 32));
  self->program_();
  self->done_ = true;
}

void Fiber::Resume() { swapcontext(&caller_, &here_); }

void Fiber::Yield() { swapcontext(&here_, &caller_); }

void Fiber::Abandon() {
  done_ = true;
  setcontext(&caller_);
  __builtin_unreachable();
}

bool Fiber::InGuard(const void* address) const { return address >= stack_ && address < stack_ + kGuardBytes; }

}  // namespace npufa_sim
