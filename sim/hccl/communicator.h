// The ranks of a communicator, and what all collectives are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mailbox.h"

namespace npufa_sim::hccl {

// Memory that goes to or comes from a rank; without bytes nothing travels.
struct Piece {
  void* data = nullptr;
  std::uint64_t bytes = 0;
};
using Pieces = std::vector<Piece>;  // by rank

class Communicator {
 public:
  Communicator(std::filesystem::path directory, std::uint32_t rank, std::uint32_t size, std::string name)
      : rank_(rank), size_(size), name_(std::move(name)), mailbox_(std::move(directory), rank, size) {}

  std::uint32_t rank() const { return rank_; }
  std::uint32_t size() const { return size_; }
  const std::string& name() const { return name_; }
  Mailbox& mailbox() { return mailbox_; }

  // Pieces for every rank, by equal steps from `data`; step 0: the same one for all.
  Pieces Everyone(const void* data, std::uint64_t bytes, std::uint64_t step) const;
  // A piece for one rank and none for the others.
  Pieces Only(std::uint32_t rank, const void* data, std::uint64_t bytes) const;

  // Everything is read before anything is written.
  void Exchange(const std::string& subject, const Pieces& out, const Pieces& in);

  // Raises unless the rank is one of them.
  void RequireRank(const char* argument, std::uint32_t rank) const;

 private:
  std::uint32_t rank_, size_;
  std::string name_;
  Mailbox mailbox_;
};

// Live communicators by their handles.
HcclComm Keep(std::unique_ptr<Communicator> communicator);
std::shared_ptr<Communicator> Find(HcclComm handle);  // raises
void Drop(HcclComm handle);

}  // namespace npufa_sim::hccl
