// One call of an operator as its inference and tiling functions see it, and what they answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "exe_graph/runtime/compute_node_info.h"
#include "exe_graph/runtime/continuous_vector.h"
#include "exe_graph/runtime/runtime_attrs.h"
#include "exe_graph/runtime/tensor.h"
#include "exe_graph/runtime/tiling_data.h"
#include "platform.h"

namespace npufa_sim {

inline constexpr std::size_t kTilingCapacity = 16 * 1024;
inline constexpr std::size_t kMaxWorkspaces = 8;

struct CallState {
  CallState(const std::string& type, const ChipDescription& chip, std::vector<gert::RuntimeAttrs::Value> attributes)
      : op_type(type), attrs(std::move(attributes)), platform(chip, AvailableCores()) {}

  std::string op_type;
  gert::RuntimeAttrs attrs;
  fe::PlatFormInfos platform;

  // Only tensors that are present; the anchors tell which of them stand for a declared input or output.
  std::vector<gert::Tensor> inputs, outputs;
  std::vector<gert::CompileTimeTensorDesc> input_descs, output_descs;
  std::vector<gert::AnchorInstanceInfo> input_anchors, output_anchors;

  std::vector<gert::Shape> inferred_shapes;
  std::vector<ge::DataType> inferred_types;

  std::uint64_t tiling_key = 0;
  std::uint32_t block_dim = 0;
  std::uint32_t schedule_mode = 0;
  gert::TilingData tiling_data{kTilingCapacity};
  gert::TypedContinuousVector<std::size_t> workspaces{kMaxWorkspaces};
};

}  // namespace npufa_sim
