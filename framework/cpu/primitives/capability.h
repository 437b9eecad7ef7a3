// The choice among the tables of primitives.
#pragma once

#include <string>
#include <vector>

#include "primitives.h"

namespace npufa::cpu {

// The best table that the running CPU can execute. The environment variable
// NPUFA_CPU_CAPABILITY (a table name) forces one of them; an unknown or unusable name raises std::runtime_error.
const Primitives& BestPrimitives();
// Null when no such table is compiled in or offered, or the CPU cannot run it.
const Primitives* FindPrimitives(const char* name);
// Names of the tables that NPUFA_CPU_CAPABILITY may choose here, best first.
std::vector<std::string> UsablePrimitives();
// Adds a table from outside this library before the first call of BestPrimitives; only NPUFA_CPU_CAPABILITY chooses it.
// It must outlive the process.
void OfferPrimitives(const Primitives& table);

}  // namespace npufa::cpu
