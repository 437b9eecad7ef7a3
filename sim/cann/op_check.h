// Checks of a call against the definition of its operator and the chip in use.
#pragma once

#include <string>
#include <vector>

#include "chip/description.h"
#include "op_call.h"

namespace npufa_sim {

// actual_seq_lengths becomes actualSeqLengths.
std::string CamelCase(const std::string& name);

// Name of the definition's AddConfig for a chip: ascend910b, ascend910_93.
std::string ConfigName(const ChipDescription& chip);

// Each throws AclnnError.
void CheckPresent(const std::vector<CallParam>& params);
// Points the parameters to their definitions on the chip.
void ResolveForChip(const ops::OpDef& def, const ChipDescription& chip, std::vector<CallParam>* inputs,
                    std::vector<CallParam>* outputs);
void CheckSupported(const ops::OpDef& def, const std::vector<CallParam>& inputs, const std::vector<CallParam>& outputs);
// Compares with what the operator's inference functions say; operators without them are not checked.
void CheckInferred(const ops::OpDef& def, CallState* state, const std::vector<CallParam>& outputs);

}  // namespace npufa_sim
