// Tensor layouts (SPEC section 2): which axis of query, key and value is the batch, the head, the token, the channel.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "tensor_desc.h"

namespace npufa {

enum class Layout { kBSH, kSBH, kBSND, kBNSD, kTND, kNTD, kNBSD };

struct LayoutPair {
  const char* name;
  Layout input;
  Layout output;
};

inline constexpr std::array<LayoutPair, 12> kLayouts = {{
    {"BSH", Layout::kBSH, Layout::kBSH},
    {"SBH", Layout::kSBH, Layout::kSBH},
    {"BSND", Layout::kBSND, Layout::kBSND},
    {"BNSD", Layout::kBNSD, Layout::kBNSD},
    {"TND", Layout::kTND, Layout::kTND},
    {"NTD", Layout::kNTD, Layout::kNTD},
    {"BNSD_BSND", Layout::kBNSD, Layout::kBSND},
    {"BSH_NBSD", Layout::kBSH, Layout::kNBSD},
    {"BSND_NBSD", Layout::kBSND, Layout::kNBSD},
    {"BNSD_NBSD", Layout::kBNSD, Layout::kNBSD},
    {"TND_NTD", Layout::kTND, Layout::kNTD},
    {"NTD_TND", Layout::kNTD, Layout::kTND},
}};

constexpr bool IsPacked(Layout l) { return l == Layout::kTND || l == Layout::kNTD; }

// Axis numbers within a tensor of the layout; -1 where the layout has no such axis. In BSH and SBH heads and channels
// share the last axis. Packed layouts have one token axis for all sequences.
struct Axes {
  int rank, batch, token, head, channel;
};

constexpr Axes AxesOf(Layout l) {
  switch (l) {
    case Layout::kBSH: return {3, 0, 1, -1, 2};
    case Layout::kSBH: return {3, 1, 0, -1, 2};
    case Layout::kBSND: return {4, 0, 1, 2, 3};
    case Layout::kBNSD: return {4, 0, 2, 1, 3};
    case Layout::kTND: return {3, -1, 0, 1, 2};
    case Layout::kNTD: return {3, -1, 1, 0, 2};
    case Layout::kNBSD: return {4, 1, 2, 0, 3};
  }
  return {0, -1, -1, -1, -1};
}

// Sizes of a tensor of layout `l`. `batch` and `tokens` of packed layouts: batch is ignored, tokens is T.
template <class Int>
std::vector<Int> SizesOf(Layout l, const Int& batch, const Int& tokens, const Int& heads, const Int& channels) {
  const Axes axes = AxesOf(l);
  std::vector<Int> sizes(axes.rank, Int(1));
  if (axes.batch >= 0) sizes[axes.batch] = batch;
  sizes[axes.token] = tokens;
  if (axes.head >= 0) {
    sizes[axes.head] = heads;
    sizes[axes.channel] = channels;
  } else {
    sizes[axes.channel] = heads * channels;
  }
  return sizes;
}

// `allowed` holds the names an operator accepts, separated by spaces.
inline const LayoutPair& ParseLayout(const char* op, const std::string& name, std::string_view allowed) {
  for (std::string_view rest = allowed; !rest.empty();) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const bool found = name == rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!found) continue;
    for (const LayoutPair& pair : kLayouts) {
      if (name == pair.name) return pair;
    }
  }
  Fail(op, "input_layout", "is not a layout of this operator", name, "one of " + std::string(allowed));
}

}  // namespace npufa
