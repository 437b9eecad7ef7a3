// A rate that all cores share, booked in buckets of time.
#pragma once

#include <cstddef>
#include <vector>

namespace npufa_sim {

class SharedBandwidth {
 public:
  static constexpr double kBucketCycles = 64;

  explicit SharedBandwidth(double bytes_per_cycle) : capacity_(bytes_per_cycle * kBucketCycles) {}

  // Moves `bytes` from `start` on, evenly over `cycles` where the rate allows it, later where it does not. Returns when
  // the last of them has moved. Who asks first is served first, in buckets as they have room.
  double Move(double start, double bytes, double cycles);

  // Bytes moved in each bucket.
  const std::vector<double>& used() const { return used_; }
  double bucket_capacity() const { return capacity_; }
  double bytes_per_cycle() const { return capacity_ / kBucketCycles; }

 private:
  double capacity_;
  std::vector<double> used_;
};

}  // namespace npufa_sim
