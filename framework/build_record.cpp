// What npufa._library looks for in the file before it lets torch load it.
#include <torch/version.h>

extern "C" {
__attribute__((visibility("default"))) extern const char npufa_built_for[];
const char npufa_built_for[] = "npufa built for torch " TORCH_VERSION;
}
