#include "mailbox.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

namespace npufa_sim::hccl {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char kPrefix[] = "npufa-hccl-";
constexpr std::size_t kSubjectBytes = 48;

struct Header {
  char subject[kSubjectBytes];
  std::uint64_t bytes;
};

std::chrono::seconds Patience(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  const int seconds = text == nullptr ? 0 : std::atoi(text);
  return std::chrono::seconds(seconds > 0 ? seconds : otherwise);
}

// Not when it waits for its parent to notice its end, either.
bool Alive(int process) {
  if (kill(process, 0) != 0 && errno == ESRCH) return false;
  std::string line;
  std::getline(std::ifstream("/proc/" + std::to_string(process) + "/stat"), line);
  const std::size_t name_end = line.rfind(')');
  return name_end == std::string::npos || line.compare(name_end, 3, ") Z") != 0;
}

// Calls ready() until it is true, less and less often; false when the time is over or hopeless().
template <class Ready, class Hopeless>
bool WaitUntil(std::chrono::seconds patience, Ready ready, Hopeless hopeless) {
  const Clock::time_point end = Clock::now() + patience;
  for (std::chrono::microseconds pause(20); !ready(); pause = std::min(2 * pause, std::chrono::microseconds(1000))) {
    if (Clock::now() > end) return false;
    if (hopeless()) return ready();  // it may have come just before
    std::this_thread::sleep_for(pause);
  }
  return true;
}

// Appears under its name only when it is whole.
void WriteFile(const fs::path& path, const Header* header, const void* data, std::uint64_t bytes) {
  const fs::path draft = path.string() + ".draft";
  std::ofstream file(draft, std::ios::binary);
  if (header != nullptr) file.write(reinterpret_cast<const char*>(header), sizeof *header);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  file.close();
  if (!file) throw Error(HCCL_E_SYSCALL, "writing " + draft.string() + " failed: " + std::strerror(errno));
  fs::rename(draft, path);
}

void RemoveAbandoned() {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::temp_directory_path(), ignored)) {
    const std::string name = entry.path().filename();
    if (name.rfind(kPrefix, 0) != 0) continue;
    bool alive = Alive(std::atoi(name.c_str() + std::strlen(kPrefix)));
    for (const fs::directory_entry& file : fs::directory_iterator(entry, ignored)) {
      int process = 0;
      if (file.path().filename().string().rfind("member-", 0) == 0 && std::ifstream(file.path()) >> process) {
        alive = alive || Alive(process);
      }
    }
    if (!alive) fs::remove_all(entry, ignored);
  }
}

}  // namespace

fs::path NewDirectory() {
  static std::atomic<int> count{0};
  RemoveAbandoned();
  const fs::path path =
      fs::temp_directory_path() / (kPrefix + std::to_string(getpid()) + "-" + std::to_string(count++) + "-" +
                                   std::to_string(std::random_device()()));
  fs::create_directory(path);
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

Mailbox::Mailbox(fs::path directory, std::uint32_t rank, std::uint32_t size)
    : directory_(std::move(directory)), rank_(rank), process_(size) {
  for (auto* counts : {posted_, taken_}) std::fill_n(counts, kChannels, std::vector<std::uint64_t>(size));
  const std::string own = std::to_string(getpid()) + " " + std::to_string(size);
  if (fs::exists(MemberFile(rank))) {
    throw Error(HCCL_E_PARA, "rank " + std::to_string(rank) + " is taken by another process; expected every rank once");
  }
  WriteFile(MemberFile(rank), nullptr, own.data(), own.size());
  for (std::uint32_t other = 0; other < size; ++other) {
    std::uint32_t its_size = 0;
    const auto there = [&] { return bool(std::ifstream(MemberFile(other)) >> process_[other] >> its_size); };
    if (!WaitUntil(Patience("HCCL_CONNECT_TIMEOUT", 120), there, [] { return false; })) {
      throw Error(HCCL_E_TIMEOUT, "rank " + std::to_string(other) + " of " + std::to_string(size) +
                                      " has not come within HCCL_CONNECT_TIMEOUT");
    }
    if (its_size != size) {
      throw Error(HCCL_E_PARA, "rank " + std::to_string(other) + " counts " + std::to_string(its_size) +
                                   " ranks, rank " + std::to_string(rank) + " counts " + std::to_string(size));
    }
    if (other != rank && process_[other] == getpid()) {
      throw Error(HCCL_E_NOT_SUPPORT, "ranks " + std::to_string(other) + " and " + std::to_string(rank) +
                                          " are one process; the simulator has a process per rank");
    }
  }
}

Mailbox::~Mailbox() {
  std::error_code ignored;
  fs::rename(MemberFile(rank_), directory_ / ("left-" + std::to_string(rank_)), ignored);
  for (std::uint32_t other = 0; other < process_.size(); ++other) {
    if (fs::exists(MemberFile(other), ignored)) return;
  }
  fs::remove_all(directory_, ignored);
}

fs::path Mailbox::MemberFile(std::uint32_t rank) const { return directory_ / ("member-" + std::to_string(rank)); }

fs::path Mailbox::MessageFile(Channel channel, std::uint32_t from, std::uint32_t to, std::uint64_t number) const {
  return directory_ / (std::to_string(channel) + "-" + std::to_string(from) + "-" + std::to_string(to) + "-" +
                       std::to_string(number));
}

void Mailbox::Post(Channel channel, std::uint32_t to, const std::string& subject, const void* data,
                   std::uint64_t bytes) {
  Header header{};
  subject.copy(header.subject, kSubjectBytes - 1);
  header.bytes = bytes;
  WriteFile(MessageFile(channel, rank_, to, posted_[channel][to]++), &header, data, bytes);
}

void Mailbox::Take(Channel channel, std::uint32_t from, const std::string& subject, void* data, std::uint64_t bytes) {
  const fs::path path = MessageFile(channel, from, rank_, taken_[channel][from]++);
  const std::string who = "rank " + std::to_string(from);
  std::error_code ignored;
  const auto gone = [&] { return !Alive(process_[from]) || fs::exists(directory_ / ("left-" + std::to_string(from))); };
  if (!WaitUntil(Patience("HCCL_EXEC_TIMEOUT", 1836), [&] { return fs::exists(path, ignored); }, gone)) {
    if (gone()) throw Error(HCCL_E_REMOTE, who + " has ended; expected its part of " + subject);
    throw Error(HCCL_E_TIMEOUT, who + " has not come to " + subject + " within HCCL_EXEC_TIMEOUT");
  }
  std::ifstream file(path, std::ios::binary);
  Header header{};
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  if (header.subject != subject.substr(0, kSubjectBytes - 1) || header.bytes != bytes) {
    throw Error(HCCL_E_PARA, "rank " + std::to_string(rank_) + " is at " + subject + " with " + std::to_string(bytes) +
                                 " bytes, " + who + " at " + header.subject + " with " + std::to_string(header.bytes) +
                                 "; expected the same call on both");
  }
  file.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes));
  if (!file) throw Error(HCCL_E_SYSCALL, "reading " + path.string() + " failed");
  fs::remove(path, ignored);
}

}  // namespace npufa_sim::hccl
