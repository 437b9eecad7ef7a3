#include "description.h"

#include <cmath>
#include <stdexcept>

#include "embedded_chips.h"

namespace npufa_sim {
namespace {

struct Parameter {
  const char* name;
  double TimeModel::* member;
};

#define NPUFA_PARAMETER(name) {#name, &TimeModel::name}
constexpr Parameter kParameters[] = {
    NPUFA_PARAMETER(mmad_start),
    NPUFA_PARAMETER(mmad_k_half),
    NPUFA_PARAMETER(mmad_k_int8),
    NPUFA_PARAMETER(mmad_k_int4),
    NPUFA_PARAMETER(mmad_k_float),
    NPUFA_PARAMETER(mmad_k_hf32),
    NPUFA_PARAMETER(l1_to_l0a),
    NPUFA_PARAMETER(l1_to_l0b),
    NPUFA_PARAMETER(l0_start),
    NPUFA_PARAMETER(l0_fill),
    NPUFA_PARAMETER(l1_to_table),
    NPUFA_PARAMETER(table_start),
    NPUFA_PARAMETER(l0c_to_l1),
    NPUFA_PARAMETER(l0c_to_l1_start),
    NPUFA_PARAMETER(gm_to_l1),
    NPUFA_PARAMETER(gm_to_ub),
    NPUFA_PARAMETER(ub_to_gm),
    NPUFA_PARAMETER(l1_to_gm),
    NPUFA_PARAMETER(l0c_to_gm),
    NPUFA_PARAMETER(gm_start),
    NPUFA_PARAMETER(gm_granule),
    NPUFA_PARAMETER(gm_unaligned),
    NPUFA_PARAMETER(l2_read_latency),
    NPUFA_PARAMETER(l2_write_latency),
    NPUFA_PARAMETER(hbm_latency),
    NPUFA_PARAMETER(l2_line),
    NPUFA_PARAMETER(hbm_bandwidth),
    NPUFA_PARAMETER(l2_bandwidth),
    NPUFA_PARAMETER(issue),
    NPUFA_PARAMETER(flag_issue),
    NPUFA_PARAMETER(flag_latency),
    NPUFA_PARAMETER(cross_latency),
    NPUFA_PARAMETER(scalar_access),
    NPUFA_PARAMETER(queue_depth),
    NPUFA_PARAMETER(launch),
    NPUFA_PARAMETER(fixpipe),
    NPUFA_PARAMETER(gm_burst),
    NPUFA_PARAMETER(gm_burst_past_l2),
    NPUFA_PARAMETER(hbm_efficiency),
    NPUFA_PARAMETER(hbm_write),
    NPUFA_PARAMETER(hbm_access),
    NPUFA_PARAMETER(shared_read),
    NPUFA_PARAMETER(hbm_short),
    NPUFA_PARAMETER(hbm_short_bytes),
    NPUFA_PARAMETER(shared_read_window),
    NPUFA_PARAMETER(hbm_access_shared),
    NPUFA_PARAMETER(ub_read_write),
    NPUFA_PARAMETER(mask_issue),
    NPUFA_PARAMETER(counter_issue),
    NPUFA_PARAMETER(queue_issue),
};
#undef NPUFA_PARAMETER

// In the order of OpClass, from kVecAdd on.
constexpr const char* kVectorNames[kVectorOps] = {
    "add",       "mul",  "scalar",       "exp",           "div",    "rsqrt",       "cast", "compare", "select",
    "duplicate", "brcb", "reduce_block", "reduce_repeat", "gather", "gather_mask", "sort", "copy",
};

struct VectorParameter {
  const char* name;
  double VectorCost::* member;
  bool required;
};
constexpr VectorParameter kVectorParameters[] = {{"start", &VectorCost::start, true},
                                                 {"half", &VectorCost::half, true},
                                                 {"float", &VectorCost::single, true},
                                                 {"elements", &VectorCost::elements, false}};

// Place of a parameter, nullptr when there is none of that name.
double* Find(TimeModel& model, const std::string& name) {
  for (const Parameter& p : kParameters)
    if (name == p.name) return &(model.*p.member);
  for (int op = 0; op < kVectorOps; ++op) {
    const std::string prefix = std::string("vector.") + kVectorNames[op] + ".";
    if (!name.starts_with(prefix)) continue;
    for (const VectorParameter& p : kVectorParameters)
      if (name == prefix + p.name) return &(model.vector[op].*p.member);
  }
  return nullptr;
}

[[noreturn]] void Unknown(const std::string& name) {
  throw std::invalid_argument("the time model has no parameter " + name + "; sim/chip/chips.json names them");
}

TimeModel ModelOf(const EmbeddedChip& chip) {
  std::map<std::string, double> values;
  for (std::size_t i = 0; i < chip.parameter_count; ++i) values[chip.parameters[i].name] = chip.parameters[i].value;
  const auto require = [&](const std::string& name) {
    if (!values.contains(name)) throw std::logic_error("chips.json lacks the parameter " + name);
  };
  for (const Parameter& p : kParameters) require(p.name);
  for (const char* op : kVectorNames)
    for (const VectorParameter& p : kVectorParameters)
      if (p.required) require(std::string("vector.") + op + "." + p.name);
  TimeModel model;
  for (const auto& [name, value] : values) SetParameter(model, name, value);
  return model;
}

ChipDescription Describe(const EmbeddedChip& chip) {
  ChipDescription d;
  d.name = chip.name;
  d.short_soc_version = chip.short_soc_version;
  for (std::size_t i = 0; i < chip.fact_count; ++i) d.facts[chip.facts[i].name] = chip.facts[i].value;
  d.aic_count = static_cast<int>(d.facts.at("aic_count"));
  d.aiv_count = static_cast<int>(d.facts.at("aiv_count"));
  d.clock_mhz = d.facts.at("clock_mhz");
  d.hbm_bytes = static_cast<std::uint64_t>(d.facts.at("hbm_bytes"));
  d.l2_bytes = static_cast<std::uint64_t>(d.facts.at("l2_bytes"));
  const auto set = [&](Space space, const char* fact) {
    d.space_bytes[static_cast<int>(space)] = static_cast<std::uint32_t>(d.facts.at(fact));
  };
  set(Space::kUB, "ub_bytes");
  set(Space::kL1, "l1_bytes");
  set(Space::kL0A, "l0a_bytes");
  set(Space::kL0B, "l0b_bytes");
  set(Space::kL0C, "l0c_bytes");
  set(Space::kBT, "bias_table_bytes");
  set(Space::kFB, "fixpipe_buffer_bytes");
  d.model = ModelOf(chip);
  return d;
}

const std::vector<ChipDescription>& Chips() {
  static const std::vector<ChipDescription> chips = [] {
    std::vector<ChipDescription> all;
    for (std::size_t i = 0; i < kEmbeddedChipCount; ++i) all.push_back(Describe(kEmbeddedChips[i]));
    return all;
  }();
  return chips;
}

}  // namespace

const ChipDescription* FindChip(const std::string& name) {
  for (const ChipDescription& chip : Chips())
    if (chip.name == name) return &chip;
  return nullptr;
}

std::vector<std::string> ChipNames() {
  std::vector<std::string> names;
  for (const ChipDescription& chip : Chips()) names.push_back(chip.name);
  return names;
}

double CubeDepth(const TimeModel& model, MmadType type) {
  switch (type) {
    case MmadType::kHalf:
    case MmadType::kBfloat16: return model.mmad_k_half;
    case MmadType::kFloat32: return model.mmad_k_float;
    case MmadType::kHf32: return model.mmad_k_hf32;
    case MmadType::kInt8: return model.mmad_k_int8;
    case MmadType::kInt4: return model.mmad_k_int4;
  }
  throw std::invalid_argument("Mmad of type " + std::to_string(static_cast<int>(type)) + " has no cost");
}

double ChipDescription::CubePeak(MmadType type) const {
  return 2.0 * 16 * 16 * CubeDepth(model, type) * aic_count * clock_mhz * 1e6;
}

void SetParameter(TimeModel& model, const std::string& name, double value) {
  double* place = Find(model, name);
  if (!place) Unknown(name);
  // Latencies and starts may be zero; what the model divides by may not.
  const bool may_be_zero = name.starts_with("vector.") || name.ends_with("start") || name.ends_with("latency") ||
                           name.ends_with("issue") || name == "launch" || name == "scalar_access";
  if (!std::isfinite(value) || value < 0 || (value == 0 && !may_be_zero)) {
    throw std::invalid_argument("time model parameter " + name + " is " + std::to_string(value) + ", must be " +
                                (may_be_zero ? "at least 0" : "above 0"));
  }
  *place = value;
}

double GetParameter(const TimeModel& model, const std::string& name) {
  const double* place = Find(const_cast<TimeModel&>(model), name);
  if (!place) Unknown(name);
  return *place;
}

}  // namespace npufa_sim
