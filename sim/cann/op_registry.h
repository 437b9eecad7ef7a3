// Registered operators.
#pragma once

#include <string>
#include <vector>

#include "register/op_def.h"

namespace npufa_sim {

// The definition with the functions that were registered for it; nullptr for an unknown type.
const ops::OpDef* FindOperator(const std::string& type);

// In alphabetical order of their types.
std::vector<std::string> OperatorTypes();

// NpufaScaledAdd becomes npufa_scaled_add: the name of an operator's kernel and of its kernel file.
std::string KernelName(const std::string& type);

// A parameter of the operator as one chip supports it.
const ops::OpParamDef& ForChip(const ops::OpParamDef& param, const std::list<ops::OpParamDef>& of_chip);

// Throws std::invalid_argument that names the first contradiction.
void CheckDefinition(const ops::OpDef& def);

}  // namespace npufa_sim
