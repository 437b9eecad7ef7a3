#include "batch_invariance.h"

#include <ATen/Context.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace npufa {

namespace {

bool IsSetInEnvironment() {
  const char* value = std::getenv("NPUFA_BATCH_INVARIANT");
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

std::atomic<bool> asked_for{IsSetInEnvironment()};

}  // namespace

bool IsBatchInvariant() { return asked_for || at::globalContext().deterministicAlgorithms(); }

TORCH_LIBRARY_IMPL(npufa, CompositeExplicitAutograd, m) {
  m.impl("_batch_invariant", &IsBatchInvariant);
  m.impl("_ask_for_batch_invariance", [](bool on) { return asked_for.exchange(on); });
}

}  // namespace npufa
