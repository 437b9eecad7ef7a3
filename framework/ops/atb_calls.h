// atb's attention operators as calls of npu_fused_infer_attention_score.out: its arguments under other names, plain
// lengths of packed sequences, additive masks, one cache for keys and values.
#pragma once

#include "arguments.h"

namespace npufa {

class AtbCall {
 public:
  AtbCall(const c10::OperatorHandle& op, const torch::jit::Stack& stack);

  // compute(arguments of fused_infer's call). Faults are those of the caller's arguments.
  template <class Compute>
  static void Run(const c10::OperatorHandle& op, const torch::jit::Stack& stack, const Compute& compute) {
    try {
      compute(AtbCall(op, stack).call_);
    } catch (const ArgumentError& error) {
      throw error.Renamed(CallersName(Arguments(op, stack), error.Argument()));
    }
  }

  // Replaces the arguments on the stack by what the operator returns: nothing or `out`.
  static void Return(const c10::OperatorHandle& op, torch::jit::Stack* stack);

 private:
  static std::string CallersName(const Arguments& own, const std::string& name);

  void Set(const char* name, c10::IValue value);
  void SetCache();
  void SetLengths();
  void SetMask();

  const Arguments own_;
  torch::jit::Stack stack_;
  const Arguments call_;
};

}  // namespace npufa
