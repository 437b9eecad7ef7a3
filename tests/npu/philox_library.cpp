// A libtorch_npu.so with nothing but the random generator's state, as version LAYOUT of torch_npu lays it out.
#include <cstdint>

struct State {
  std::uint64_t seed, offset;
#if LAYOUT >= 211
  std::uint64_t offset_in_graph = 0;
#else
  std::uint32_t offset_in_graph = 0;
#endif
  bool captured = false;
#if LAYOUT >= 207
  bool secondary_stream = false;
#endif
  State(std::uint64_t s, std::uint64_t o) : seed(s), offset(o) {}
  State(const State&) = default;
};

// NPUGeneratorImpl::philox_npu_state. Words: what to answer, a number or (with bit 32) that a graph is captured.
extern "C" State _ZN6at_npu16NPUGeneratorImpl16philox_npu_stateEm(void*, std::uint64_t words) {
  if (words >> 32 == 0) return State(WRONG_SEED ? 8 : 7, words);
  State state(LAYOUT >= 207 ? 0x1000 : 7, 0x2000);
  state.offset_in_graph = static_cast<std::uint32_t>(words);
  state.captured = true;
  return state;
}
