// Messages between processes of one host: files in a directory that the members share. A message is there as soon as
// its file is; whoever sends never waits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "hccl/hccl_types.h"

namespace npufa_sim::hccl {

// What went wrong, in the words of HcclResult and in words.
class Error : public std::runtime_error {
 public:
  Error(HcclResult code, const std::string& text) : std::runtime_error(text), code_(code) {}
  HcclResult code() const { return code_; }

 private:
  HcclResult code_;
};

// Messages of a channel arrive in the order in which they were posted; channels do not wait for each other.
enum Channel { kCollective, kPair, kChannels };

// A new directory that processes of this user alone can read; those that dead processes left are removed.
std::filesystem::path NewDirectory();

// One member's view. Paths, ranks and numbers name a message; both sides count alike.
class Mailbox {
 public:
  // Waits for the other members, as long as HCCL_CONNECT_TIMEOUT says (seconds, 120 unless set).
  Mailbox(std::filesystem::path directory, std::uint32_t rank, std::uint32_t size);
  // The last member takes the directory along.
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;

  void Post(Channel channel, std::uint32_t to, const std::string& subject, const void* data, std::uint64_t bytes);
  // Waits as long as HCCL_EXEC_TIMEOUT says (seconds, 1836 unless set), but not for a process that has ended. Raises
  // when the message is of another subject or length.
  void Take(Channel channel, std::uint32_t from, const std::string& subject, void* data, std::uint64_t bytes);

  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path MemberFile(std::uint32_t rank) const;
  std::filesystem::path MessageFile(Channel channel, std::uint32_t from, std::uint32_t to, std::uint64_t number) const;

  std::filesystem::path directory_;
  std::uint32_t rank_;
  std::vector<int> process_;                                         // by rank
  std::vector<std::uint64_t> posted_[kChannels], taken_[kChannels];  // numbers of messages, by rank
};

}  // namespace npufa_sim::hccl
