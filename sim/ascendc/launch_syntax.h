// What kernel<<<blocks, control, stream>>>(arguments) becomes, and how kernels are called with values.
#pragma once

#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace npufa_sim {

struct ProgramLaunch {
  void* kernel;  // function of the program that holds main()
  std::uint32_t blocks;
  void* stream;
  std::vector<const void*> pointers;  // the arguments that are pointers, null for the others
  std::function<void(void* kernel)> call;
};
// Runs the kernel's cube and vector programs on the stream. Findings go to stderr, failures to the stream.
void LaunchFromProgram(ProgramLaunch launch);

template <class T>
const void* PointerOf(const T& value) {
  if constexpr (std::is_pointer_v<T>) return reinterpret_cast<const void*>(value);
  else return nullptr;
}

template <class... P>
class KernelLauncher {
 public:
  using Function = void (*)(P...);

  KernelLauncher(Function kernel, std::uint32_t blocks, void* stream)
      : kernel_(kernel), blocks_(blocks), stream_(stream) {}

  void operator()(P... arguments) const {
    std::tuple<std::decay_t<P>...> values(arguments...);
    LaunchFromProgram(
        {reinterpret_cast<void*>(kernel_), blocks_, stream_, {PointerOf(arguments)...}, [values](void* kernel) {
           std::apply(reinterpret_cast<Function>(kernel), values);
         }});
  }

 private:
  Function kernel_;
  std::uint32_t blocks_;
  void* stream_;
};

// Of kernels that share a name, the one whose parameters have the types of the arguments.
template <class Name>
class OverloadLauncher {
 public:
  OverloadLauncher(Name name, std::uint32_t blocks, void* stream) : name_(name), blocks_(blocks), stream_(stream) {}

  template <class... A>
  void operator()(A... arguments) const {
    const auto kernel = name_([](void (*k)(A...)) { return k; });
    KernelLauncher<A...>(kernel, blocks_, stream_)(arguments...);
  }

 private:
  Name name_;
  std::uint32_t blocks_;
  void* stream_;
};

struct AnyKernel {
  template <class... P>
  auto operator()(void (*kernel)(P...)) const {
    return [kernel](std::uint32_t blocks, void* stream) { return KernelLauncher<P...>(kernel, blocks, stream); };
  }
};

// `name` calls what it is given with the kernel. The second value of <<<>>> is reserved.
template <class Name, class Control>
auto LaunchKernel(Name name, std::uint32_t blocks, Control, void* stream = nullptr) {
  if constexpr (std::is_invocable_v<Name, AnyKernel>) return name(AnyKernel())(blocks, stream);
  else return OverloadLauncher<Name>(name, blocks, stream);
}

template <class... P, std::size_t... I>
void CallWithValues(void (*kernel)(P...), void* const* values, std::index_sequence<I...>) {
  kernel(*static_cast<std::decay_t<P>*>(values[I])...);
}
template <class... P>
void CallWithValues(void (*kernel)(P...), void* const* values) {
  CallWithValues(kernel, values, std::index_sequence_for<P...>());
}

}  // namespace npufa_sim
