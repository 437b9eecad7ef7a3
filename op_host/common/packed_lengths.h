// Lists of lengths of a packed batch (SPEC section 2): cumulative, or plain; the query's and the key's are read alike.
#pragma once

#include <numeric>

#include "attention_call.h"

namespace npufa {

// One list and the readings that it has.
template <class Int>
struct PackedList {
  const char* argument = "";
  std::vector<Int> entries;
  Int tokens{0};
  std::string fault;        // why it is not cumulative; empty where it is
  bool plain = true;        // its entries may be plain lengths
  bool one_reading = true;  // plain or cumulative, the sequences are the same

  bool IsCumulative() const { return fault.empty(); }
};

template <class Int>
std::size_t CountWithoutTrailingZeros(const std::vector<Int>& list) {
  std::size_t used = list.size();
  while (used > 0 && KnownEq(list[used - 1], Int(0))) --used;
  return used;
}

template <class Int>
std::string FaultOfCumulative(const std::vector<Int>& list, const Int& tokens) {
  const std::size_t used = CountWithoutTrailingZeros(list);
  Int before(0);
  for (std::size_t i = 0; i < used; ++i) {
    if (KnownLt(list[i], Int(0))) return "has a negative entry";
    if (KnownLt(list[i], before)) return "decreases";
    before = list[i];
  }
  return KnownLt(tokens, before) ? "goes beyond the packed tokens" : "";
}

// `cumulative_only`: the caller's interface leaves no other reading, as tensors and CANN do.
template <class Int>
PackedList<Int> ReadPackedList(const char* argument, const std::vector<Int>& list, const Int& tokens,
                               bool cumulative_only) {
  PackedList<Int> read{argument, list, tokens, FaultOfCumulative(list, tokens)};
  Int sum(0);
  bool negative = false;
  for (const Int& entry : list) {
    negative = negative || KnownLt(entry, Int(0));
    sum = sum + entry;
  }
  const bool whole = !list.empty() && CountWithoutTrailingZeros(list) == list.size();
  read.plain = !cumulative_only && !negative && (whole || list.empty()) && KnownEq(sum, tokens);
  read.one_reading = list.empty() || KnownEq(list.back(), tokens);
  return read;
}

// Tokens of each sequence from a cumulative list; trailing zeros are sequences without part.
template <class Int>
std::vector<Int> SequenceLengths(const std::vector<Int>& cumulative) {
  const std::size_t used = CountWithoutTrailingZeros(cumulative);
  std::vector<Int> lengths(cumulative.size(), Int(0));
  Int before(0);
  for (std::size_t i = 0; i < used; ++i) {
    lengths[i] = cumulative[i] - before;
    before = cumulative[i];
  }
  return lengths;
}

template <class Int>
std::vector<Int> CumulativeLengths(const std::vector<Int>& lengths) {
  std::vector<Int> sums(lengths);
  std::partial_sum(sums.begin(), sums.end(), sums.begin());
  return sums;
}

// The one of two lists that a message is about.
template <class Int, class Holds>
const PackedList<Int>& Which(const PackedList<Int>& query, const PackedList<Int>& key, const Holds& holds) {
  return holds(query) ? query : key;
}

template <class Int>
[[noreturn]] void FailBothReadings(const char* op, const PackedList<Int>& list) {
  std::vector<Int> padded(list.entries);
  padded.push_back(Int(0));
  Fail(op, list.argument, "has two readings, plain and cumulative lengths", list.entries,
       Show(CumulativeLengths(list.entries)) + " for sequences of " + Show(list.entries) + " tokens, or a tensor, or " +
           Show(padded) + " with one more 0 in both lists, for sequences of " + Show(SequenceLengths(list.entries)) +
           " tokens and padding up to T = " + Show(list.tokens));
}

// Whether both lists hold plain lengths: else both are cumulative. Raises where they have no common reading, or two.
template <class Int>
bool ArePlainLengths(const char* op, const PackedList<Int>& query, const PackedList<Int>& key, bool plain_allowed) {
  const bool cumulative = query.IsCumulative() && key.IsCumulative();
  const bool plain = query.plain && key.plain;
  if (cumulative && plain && !(query.one_reading && key.one_reading)) {
    FailBothReadings(op, Which(query, key, [](const auto& list) { return !list.one_reading; }));
  }
  if (cumulative) return false;
  const PackedList<Int>& faulty = Which(query, key, [](const auto& list) { return !list.IsCumulative(); });
  const std::string example = "cumulative lengths up to T = " + Show(faulty.tokens) + " ([2, 5, 9] for 2, 3, 4 tokens)";
  if (!plain) Fail(op, faulty.argument, faulty.fault, faulty.entries, example);
  if (plain_allowed) return true;
  Fail(op, faulty.argument, "holds plain lengths", faulty.entries,
       "cumulative lengths, probably " + Show(CumulativeLengths(faulty.entries)));
}

}  // namespace npufa
