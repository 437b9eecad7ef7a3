#include "communicator.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace npufa_sim::hccl {

namespace {

struct Table {
  std::mutex mutex;
  std::map<HcclComm, std::shared_ptr<Communicator>> live;
};

// Emptied, not destroyed, when the process ends: torch still asks for communicators then.
Table& Communicators() {
  static Table* table = [] {
    std::atexit([] {
      const std::lock_guard<std::mutex> lock(Communicators().mutex);
      Communicators().live.clear();
    });
    return new Table;
  }();
  return *table;
}

}  // namespace

Pieces Communicator::Everyone(const void* data, std::uint64_t bytes, std::uint64_t step) const {
  Pieces pieces(size_);
  char* at = static_cast<char*>(const_cast<void*>(data));
  for (std::uint32_t rank = 0; rank < size_; ++rank) pieces[rank] = {at + rank * step, bytes};
  return pieces;
}

Pieces Communicator::Only(std::uint32_t rank, const void* data, std::uint64_t bytes) const {
  Pieces pieces(size_);
  pieces[rank] = {const_cast<void*>(data), bytes};
  return pieces;
}

void Communicator::Exchange(const std::string& subject, const Pieces& out, const Pieces& in) {
  for (std::uint32_t other = 0; other < size_; ++other) {
    if (other != rank_ && out[other].bytes > 0)
      mailbox_.Post(kCollective, other, subject, out[other].data, out[other].bytes);
  }
  if (in[rank_].bytes > 0) std::memmove(in[rank_].data, out[rank_].data, in[rank_].bytes);
  for (std::uint32_t other = 0; other < size_; ++other) {
    if (other != rank_ && in[other].bytes > 0)
      mailbox_.Take(kCollective, other, subject, in[other].data, in[other].bytes);
  }
}

void Communicator::RequireRank(const char* argument, std::uint32_t rank) const {
  if (rank < size_) return;
  throw Error(HCCL_E_PARA,
              std::string(argument) + " is " + std::to_string(rank) + "; expected 0.." + std::to_string(size_ - 1));
}

HcclComm Keep(std::unique_ptr<Communicator> communicator) {
  const std::lock_guard<std::mutex> lock(Communicators().mutex);
  const std::shared_ptr<Communicator> kept = std::move(communicator);
  return Communicators().live.emplace(kept.get(), kept).first->first;
}

std::shared_ptr<Communicator> Find(HcclComm handle) {
  const std::lock_guard<std::mutex> lock(Communicators().mutex);
  const auto found = Communicators().live.find(handle);
  if (found == Communicators().live.end()) throw Error(HCCL_E_PARA, "comm is not a live communicator");
  return found->second;
}

void Drop(HcclComm handle) {
  Find(handle);
  const std::lock_guard<std::mutex> lock(Communicators().mutex);
  Communicators().live.erase(handle);
}

}  // namespace npufa_sim::hccl
