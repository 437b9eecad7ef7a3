// The shared core (op_host/common) as a Python module, for the tests under tests/common.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "describe.h"

namespace py = pybind11;
using npufa::Band;

namespace {

Band MakeBand(std::int64_t mode, std::int64_t pre, std::int64_t next, bool dense_mask, std::int64_t q_len,
              std::int64_t kv_len, std::int64_t prefix, std::int64_t storage_shift, bool edge) {
  return npufa::BandOf({mode, pre, next, dense_mask}, q_len, kv_len, prefix, storage_shift, edge);
}

const char* Classify(const Band& band, std::int64_t kv_len, std::int64_t q_begin, std::int64_t q_end,
                     std::int64_t k_begin, std::int64_t k_end) {
  switch (npufa::ClassifyTile(band, kv_len, q_begin, q_end, k_begin, k_end)) {
    case npufa::TileKind::kSkipped: return "skipped";
    case npufa::TileKind::kPartial: return "partial";
    case npufa::TileKind::kFull: return "full";
  }
  return "";
}

using Lengths = std::vector<std::int64_t>;

bool ArePlain(const Lengths& query, std::int64_t query_tokens, const Lengths& key, std::int64_t key_tokens,
              bool plain_allowed, bool query_is_tensor, bool key_is_tensor) {
  return npufa::ArePlainLengths<std::int64_t>(
      "op", npufa::ReadPackedList<std::int64_t>("query_lengths", query, query_tokens, query_is_tensor),
      npufa::ReadPackedList<std::int64_t>("key_lengths", key, key_tokens, key_is_tensor), plain_allowed);
}

std::vector<std::int64_t> BatchLengths(const std::vector<std::int64_t>& list, std::int64_t batch, std::int64_t most) {
  return npufa::BatchLengths<std::int64_t>("op", "lengths", list, batch, most);
}

std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> LayoutSizes(const std::string& name, std::int64_t batch,
                                                                            std::int64_t tokens, std::int64_t heads,
                                                                            std::int64_t channels) {
  const npufa::LayoutPair& pair = npufa::ParseLayout("op", name, name);
  return {npufa::SizesOf<std::int64_t>(pair.input, batch, tokens, heads, channels),
          npufa::SizesOf<std::int64_t>(pair.output, batch, tokens, heads, channels)};
}

}  // namespace

PYBIND11_MODULE(npufa_test_common, m) {
  py::class_<Band>(m, "Band").def("row", [](const Band& b, std::int64_t i, std::int64_t kv_len) {
    const npufa::Window w = b.Row(i, kv_len);
    return std::pair{w.begin, w.end};
  });
  m.def("band", &MakeBand, py::arg("mode"), py::arg("pre") = npufa::kUnbounded, py::arg("next") = npufa::kUnbounded,
        py::arg("dense_mask") = false, py::arg("q_len"), py::arg("kv_len"), py::arg("prefix") = 0,
        py::arg("storage_shift") = 0, py::arg("edge") = false);
  m.def("classify", &Classify);
  m.def("are_plain", &ArePlain, py::arg("query"), py::arg("query_tokens"), py::arg("key"), py::arg("key_tokens"),
        py::arg("plain_allowed") = true, py::arg("query_is_tensor") = false, py::arg("key_is_tensor") = false);
  m.def("sequence_lengths", &npufa::SequenceLengths<std::int64_t>);
  m.def("batch_lengths", &BatchLengths);
  m.def("layout_sizes", &LayoutSizes);
}
