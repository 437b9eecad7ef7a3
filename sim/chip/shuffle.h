// What hardware leaves open, decided by a seed: the same seed decides the same. Seed 0 leaves everything in order.
#pragma once

#include <cstdint>

namespace npufa_sim {

// NPUFA_SIM_SHUFFLE of the environment; 0 without.
std::uint64_t ShuffleSeed();

class Shuffle {
 public:
  void Start(std::uint64_t seed, std::uint64_t stream) {
    on_ = seed != 0;
    state_ = seed * kStep ^ Mix(stream + 1);
  }
  bool on() const { return on_; }

  // 0 to n - 1; 0 when off.
  std::uint32_t Below(std::uint32_t n) {
    if (!on_ || n < 2) return 0;
    return static_cast<std::uint32_t>(Mix(state_ += kStep) % n);
  }

 private:
  static constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15;

  // The finaliser of SplitMix64 (Steele et al. 2014).
  static std::uint64_t Mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  bool on_ = false;
  std::uint64_t state_ = 0;
};

}  // namespace npufa_sim
