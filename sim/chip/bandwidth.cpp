#include "bandwidth.h"

#include <algorithm>

namespace npufa_sim {

double SharedBandwidth::Move(double start, double bytes, double cycles) {
  if (bytes <= 0) return start;
  const double rate = bytes / std::max(cycles, 1.0);
  double now = start, left = bytes;
  for (auto bucket = static_cast<std::size_t>(start / kBucketCycles);; ++bucket) {
    if (bucket >= used_.size()) used_.resize(std::max(bucket + 1, 2 * used_.size()));
    const double end = static_cast<double>(bucket + 1) * kBucketCycles;
    const double room = capacity_ - used_[bucket];
    const double wanted = std::min(left, rate * (end - now));
    if (wanted <= room) {
      used_[bucket] += wanted;
      left -= wanted;
      if (left <= rate * 1e-9) return now + wanted / rate;
    } else {
      used_[bucket] = capacity_;
      left -= room;
    }
    now = end;
  }
}

}  // namespace npufa_sim
