#include "progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace npufa_sim {

Progress::Progress(std::string what, int total)
    : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::Step() {
  std::lock_guard lock(mutex_);
  ++done_;
  if (!terminal_ || std::chrono::steady_clock::now() - start_ < std::chrono::seconds(2)) return;
  drawn_ = true;
  Draw();
}

void Progress::Draw() const {
  constexpr int kWidth = 30;
  const int filled = kWidth * done_ / total_;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  std::fprintf(stderr, "\r\033[Ksimulating %s [%s%s] %d of %d core groups, %.0f s left", what_.c_str(),
               std::string(filled, '#').c_str(), std::string(kWidth - filled, '.').c_str(), done_, total_,
               seconds / done_ * (total_ - done_));
  std::fflush(stderr);
}

}  // namespace npufa_sim
