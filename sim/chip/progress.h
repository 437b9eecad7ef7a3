// A progress line on the terminal for launches that take longer than two seconds.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace npufa_sim {

class Progress {
 public:
  // Silent where stderr is no terminal.
  Progress(std::string what, int total);
  ~Progress();
  void Step();  // one of `total` parts is done; from any thread

 private:
  void Draw() const;

  const std::string what_;
  const int total_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  int done_ = 0;
  bool drawn_ = false;
};

}  // namespace npufa_sim
