#include "host_faults.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

namespace npufa_sim {
namespace {

constexpr std::size_t kHandlerStack = 64 * 1024;
constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
// The clock of a thread ticks once in so many seconds of its own; a core that has issued nothing for some ticks hangs.
constexpr int kTickSeconds = 1, kPatience = 3;

int TickSignal() { return SIGRTMIN + 7; }

struct HostFault {
  int signal;
  std::uintptr_t code;    // address of the faulting instruction
  std::uintptr_t caller;  // and what is on top of the stack: a caller, when a library function faulted
  const void* address;
};

struct Running {
  Core* core = nullptr;
  Fiber* fiber = nullptr;
  std::uint64_t issued = 0;
  int ticks = 0;
  std::vector<HostFault> faults;
};
thread_local Running running;

struct sigaction previous[65];

#if defined(__x86_64__)
std::uintptr_t CodeOf(const ucontext_t* context) { return context->uc_mcontext.gregs[REG_RIP]; }
std::uintptr_t CallerOf(const ucontext_t* context) {
  return *reinterpret_cast<const std::uintptr_t*>(context->uc_mcontext.gregs[REG_RSP]);
}

// The chip does not trap: steps over a division, whose quotient is then 0 and whose remainder is the dividend.
bool StepOverDivision(ucontext_t* context) {
  auto* registers = context->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const std::uint8_t*>(registers[REG_RIP]);
  const std::uint8_t* at = code;
  while (*at == 0x66 || (*at & 0xf0) == 0x40) ++at;  // operand size, REX
  const std::uint8_t opcode = *at++;
  if (opcode != 0xf7) return false;
  const std::uint8_t form = *at++;
  if ((form >> 3 & 6) != 6) return false;  // div or idiv
  const int mode = form >> 6, base = form & 7;
  if (mode != 3) {
    if (base == 4 && (*at++ & 7) == 5 && mode == 0) at += 4;  // index byte without a base
    if (mode == 1) at += 1;
    if (mode == 2 || (mode == 0 && base == 5)) at += 4;
  }
  registers[REG_RDX] = registers[REG_RAX];
  registers[REG_RAX] = 0;
  registers[REG_RIP] = reinterpret_cast<greg_t>(at);
  return true;
}
#else
std::uintptr_t CodeOf(const ucontext_t* context) { return context->uc_mcontext.pc; }
std::uintptr_t CallerOf(const ucontext_t* context) { return context->uc_mcontext.regs[30]; }
bool StepOverDivision(ucontext_t*) { return false; }  // nor does this processor: __ubsan_handle_divrem_overflow
#endif

bool IsSystemLibrary(const std::string& path) { return path.rfind("/lib", 0) == 0 || path.rfind("/usr/", 0) == 0; }

void Note(const HostFault& fault) {
  for (const HostFault& known : running.faults) {
    if (known.code == fault.code) return;
  }
  running.faults.push_back(fault);
}

// A call of abort() stands some frames above what raised the signal.
std::uintptr_t CallerInKernel() {
  void* frames[32];
  const int count = backtrace(frames, 32);
  for (int i = 0; i < count; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) == 0 || IsSystemLibrary(info.dli_fname)) continue;
    if (std::string(info.dli_fname).find("libnpufa_sim") != std::string::npos) continue;
    return reinterpret_cast<std::uintptr_t>(frames[i]) - 1;
  }
  return 0;
}

void OnFault(int signal, siginfo_t* info, void* opaque) {
  auto* context = static_cast<ucontext_t*>(opaque);
  if (running.fiber == nullptr) {  // not ours
    sigaction(signal, &previous[signal], nullptr);
    return;
  }
  const bool full = running.fiber->InGuard(info->si_addr) && signal == SIGSEGV;
  if (full) {
    running.faults.push_back({SIGSTKFLT, CodeOf(context), CodeOf(context), info->si_addr});
  } else {
    Note({signal, CodeOf(context), CallerOf(context), info->si_addr});
  }
  if (signal == SIGABRT) running.faults.back().code = CallerInKernel();
  if (signal == SIGFPE && StepOverDivision(context)) return;
  running.fiber->Abandon();
}

void OnTick(int signal, siginfo_t*, void* opaque) {
  if (running.fiber == nullptr) return;
  const std::uint64_t issued = running.core->issued();
  running.ticks = issued == running.issued ? running.ticks + 1 : 0;
  running.issued = issued;
  if (running.ticks < kPatience) return;
  const auto* context = static_cast<const ucontext_t*>(opaque);
  Note({signal, CodeOf(context), CallerOf(context), nullptr});
  running.fiber->Abandon();
}

void InstallHandlers() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = OnFault;
    for (const int signal : kFaults) sigaction(signal, &action, &previous[signal]);
    action.sa_flags |= SA_RESTART;
    action.sa_sigaction = OnTick;
    sigaction(TickSignal(), &action, nullptr);
  });
}

KernelFinding Describe(const Core& core, const HostFault& fault) {
  KernelFinding finding = core.NewFinding("", core.last_site(), "scalar code");
  std::string place = SourceOf(fault.code);
  if (place.empty()) place = SourceOf(fault.caller - 1);
  if (const std::size_t colon = place.rfind(':'); colon != std::string::npos) {
    finding.file = place.substr(0, colon);
    finding.line = std::atoi(place.c_str() + colon + 1);
  } else {
    finding.instruction = "scalar code after this statement";
  }
  std::ostringstream address;
  address << fault.address;
  if (fault.signal == SIGFPE) {
    finding.check = "division";
    finding.message = "divides an integer by zero, whose result is undefined";
    finding.advice = "check the divisor; tiling data that was not set is often zero";
  } else if (fault.signal == SIGSTKFLT) {
    finding.check = "stack";
    finding.message = "the stack is full";
    finding.advice = "recursion without an end, or arrays that belong in local memory";
  } else if (fault.signal == SIGSEGV || fault.signal == SIGBUS) {
    const bool null = reinterpret_cast<std::uintptr_t>(fault.address) < 65536;
    finding.check = "pointer";
    finding.message = null ? "reads or writes through a null pointer"
                           : "reads or writes at " + address.str() + ", which is no memory of the kernel";
    finding.advice = null ? "an argument that the host left out is null, such as a tiling or an optional tensor"
                          : "check the pointer; local tensors are reached through GetValue and SetValue";
  } else if (fault.signal == SIGABRT) {
    finding.check = "assert";
    finding.message = "the program ends itself, as a failed assertion does";
    finding.advice = "its text stands above";
  } else if (fault.signal == SIGILL) {
    finding.check = "undefined";
    finding.message = "reaches code that the compiler found to have no meaning";
    finding.advice = "look for a division by zero, a null pointer or a missing return";
  } else {
    finding.check = "endless-loop";
    finding.message = "scalar code has run for about " +
                      std::to_string(static_cast<long>(core.state().chip.clock_mhz * kTickSeconds * kPatience)) +
                      " million cycles without an instruction or an end";
    finding.advice = "check the loop's step and its end; a step from tiling data may be zero";
  }
  return finding;
}

}  // namespace

HostFaultScope::HostFaultScope() {
  InstallHandlers();
  stack_t current;
  sigaltstack(nullptr, &current);
  if (current.ss_flags & SS_DISABLE) {
    stack_ = std::malloc(kHandlerStack);
    stack_t mine = {};
    mine.ss_sp = stack_;
    mine.ss_size = kHandlerStack;
    sigaltstack(&mine, nullptr);
  }
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = TickSignal();
#if defined(sigev_notify_thread_id)
  event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
#else
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
#endif
  timer_t timer;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) return;
  timer_ = timer;
  const itimerspec every = {{kTickSeconds, 0}, {kTickSeconds, 0}};
  timer_settime(timer, 0, &every, nullptr);
}

HostFaultScope::~HostFaultScope() {
  if (timer_ != nullptr) timer_delete(timer_);
  if (stack_ == nullptr) return;
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  std::free(stack_);
}

void ResumeCore(Core& core, Fiber& fiber) {
  running.core = &core;
  running.issued = core.issued();
  running.ticks = 0;
  running.fiber = &fiber;
  fiber.Resume();
  running.fiber = nullptr;
  for (const HostFault& fault : running.faults) core.ReportHostFault(Describe(core, fault), fault.signal == SIGFPE);
  running.faults.clear();
}

std::string SourceOf(std::uintptr_t code) {
  static std::mutex mutex;
  static std::map<std::uintptr_t, std::string> known;
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = known.try_emplace(code);
  Dl_info info;
  if (!is_new || dladdr(reinterpret_cast<void*>(code), &info) == 0 || IsSystemLibrary(info.dli_fname)) {
    return found->second;
  }
  std::ostringstream command;
  command << "addr2line -i -e '" << info.dli_fname << "' 0x" << std::hex
          << code - reinterpret_cast<std::uintptr_t>(info.dli_fbase) << " 2>/dev/null";
  FILE* pipe = popen(command.str().c_str(), "r");
  if (pipe == nullptr) return "";
  char line[4096];
  while (std::fgets(line, sizeof line, pipe) != nullptr) {
    std::string place = line;
    place.resize(place.find_first_of(" \n"));
    const auto in = [&](const char* folder) { return place.find(folder) != std::string::npos; };
    const bool own = place.rfind("/usr/", 0) == 0 || in("/ascendc/") || in("/sim/chip/");
    if (found->second.empty() && !own && place[0] != '?' && place.find(":?") == std::string::npos) {
      found->second = place;
    }
  }
  pclose(pipe);
  return found->second;
}

Fiber* RunningFiber() { return running.fiber; }

}  // namespace npufa_sim

// Where a division by zero does not trap, kernels are compiled with -fsanitize=integer-divide-by-zero: they call this
// by its name in the compilers' run-time library and go on.
extern "C" void __ubsan_handle_divrem_overflow(void*, std::uintptr_t, std::uintptr_t) {
  using namespace npufa_sim;
  const auto after = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  Note({SIGFPE, after - 1, after, nullptr});
}
