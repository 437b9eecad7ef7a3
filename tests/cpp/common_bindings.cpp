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
    case npufa::TileKind::kSkipped:
      return "skipped";
    case npufa::TileKind::kPartial:
      return "partial";
    case npufa::TileKind::kFull:
      return "full";
  }
  return "";
}

std::pair<std::vector<std::int64_t>, bool> PackedLengths(const std::vector<std::int64_t>& list, std::int64_t tokens,
                                                         bool allow_plain) {
  bool plain = false;
  auto lengths = npufa::PackedLengths<std::int64_t>("op", "lengths", list, tokens, allow_plain ? &plain : nullptr);
  return {std::move(lengths), plain};
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
  m.def("packed_lengths", &PackedLengths, py::arg("lengths"), py::arg("tokens"), py::arg("allow_plain") = false);
  m.def("batch_lengths", &BatchLengths);
  m.def("layout_sizes", &LayoutSizes);
}
