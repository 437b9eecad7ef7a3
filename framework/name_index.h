// Positions of an operator's argument names. A call looks up about ninety names, twice as many as it has arguments:
// a hash of the length and three letters, and one comparison, instead of a hash of all letters.
#pragma once

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

namespace npufa {

class NameIndex {
 public:
  bool Empty() const { return names_.empty(); }

  // The next name; its characters must outlive the index.
  void Add(std::string_view name) {
    names_.push_back(name);
    std::size_t slot = Hash(name);
    while (slots_[slot] != 0) slot = (slot + 1) % kSlots;
    slots_[slot] = static_cast<unsigned char>(names_.size());
  }

  // Position, or -1.
  int Find(std::string_view name) const {
    for (std::size_t slot = Hash(name); slots_[slot] != 0; slot = (slot + 1) % kSlots) {
      if (names_[slots_[slot] - 1] == name) return slots_[slot] - 1;
    }
    return -1;
  }

 private:
  // More than twice the arguments of the longest schema, which has 46.
  static constexpr std::size_t kSlots = 256;

  static std::size_t Hash(std::string_view name) {
    if (name.empty()) return 0;
    const auto letter = [&](std::size_t i) { return static_cast<unsigned char>(name[i]); };
    return (name.size() * 37 + letter(0) * 3 + letter(name.size() / 2) * 11 + letter(name.size() - 1) * 5) % kSlots;
  }

  std::vector<std::string_view> names_;
  std::array<unsigned char, kSlots> slots_{};  // position + 1, 0: free
};

}  // namespace npufa
