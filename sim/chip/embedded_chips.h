// What embed_chips.py makes of chips.json.
#pragma once

#include <cstddef>

namespace npufa_sim {

struct NamedValue {
  const char* name;
  double value;
};

struct EmbeddedChip {
  const char* name;
  const char* short_soc_version;
  const NamedValue* facts;
  std::size_t fact_count;
  const NamedValue* parameters;
  std::size_t parameter_count;
};

extern const EmbeddedChip kEmbeddedChips[];
extern const std::size_t kEmbeddedChipCount;

}  // namespace npufa_sim
