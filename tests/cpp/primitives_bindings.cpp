// Python module npufa_test_primitives: every tile primitive on numpy arrays, from the table of the given name.
// Arguments follow framework/cpu/primitives.h; arrays stand for the pointers (their first element), a list of arrays
// for an array of row pointers, None for null.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/primitives/capability.h"
#if defined(__x86_64__)
#include "amx_emulator.h"
#endif

namespace py = pybind11;

namespace {

using npufa::DType;
using npufa::cpu::Primitives;

const Primitives& Table(const std::string& name) {
  const Primitives* table = npufa::cpu::FindPrimitives(name.c_str());
  if (table == nullptr) throw std::invalid_argument("no usable table of primitives named " + name);
  return *table;
}

DType ParseDType(const std::string& name) {
  for (int i = 0; i < static_cast<int>(DType::kOther); ++i) {
    if (name == npufa::NameOf(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  throw std::invalid_argument("unknown dtype " + name);
}

// Turns a Python argument into what the primitive takes.
template <class T>
struct Argument {
  using Python = T;
  explicit Argument(const T& value) : value(value) {}
  T value;
};
template <class T>
struct Argument<T*> {
  using Python = py::object;
  explicit Argument(const py::object& array) {
    if (array.is_none()) return;
    auto info = py::array(py::reinterpret_borrow<py::array>(array));
    value = static_cast<T*>(const_cast<void*>(info.data()));
  }
  T* value = nullptr;
};
template <>
struct Argument<const void* const*> {
  using Python = std::vector<py::array>;
  explicit Argument(const Python& arrays) {
    for (const py::array& array : arrays) rows.push_back(array.data());
    // What decode may fetch ahead lies anywhere.
    rows.resize(rows.size() + npufa::cpu::kRowsAhead, nullptr);
    value = rows.data();
  }
  std::vector<const void*> rows;
  const void* const* value;
};
// (array, leading dimension[, planes, distance between them in elements]) or None.
template <>
struct Argument<const npufa::cpu::Bf16Planes&> {
  using Python = std::optional<py::tuple>;
  explicit Argument(const Python& tile) {
    if (!tile) return;
    value.data = Argument<std::uint16_t*>((*tile)[0]).value;
    value.ld = (*tile)[1].cast<std::int64_t>();
    if (tile->size() == 2) return;
    value.count = (*tile)[2].cast<std::int64_t>();
    value.stride = (*tile)[3].cast<std::int64_t>();
  }
  npufa::cpu::Bf16Planes value;
};
template <>
struct Argument<DType> {
  using Python = std::string;
  explicit Argument(const std::string& name) : value(ParseDType(name)) {}
  DType value;
};
template <>
struct Argument<npufa::cpu::RowWindow> {
  using Python = std::pair<py::object, py::object>;
  explicit Argument(const Python& window) : begin(window.first), end(window.second), value{begin.value, end.value} {}
  Argument<const std::int32_t*> begin, end;
  npufa::cpu::RowWindow value;
};

template <class... Args>
void Bind(py::module_& module, const char* name, void (*Primitives::*member)(Args...)) {
  module.def(name, [member](const std::string& table, const typename Argument<Args>::Python&... args) {
    (Table(table).*member)(Argument<Args>(args).value...);
  });
}

}  // namespace

PYBIND11_MODULE(npufa_test_primitives, module) {
  module.def("best", [] { return std::string(npufa::cpu::BestPrimitives().name); });
  module.def("usable", [](const std::string& name) { return npufa::cpu::FindPrimitives(name.c_str()) != nullptr; });
#if defined(__x86_64__)
  module.def("offer_amx", npufa::test::OfferAmx);
#else
  module.def("offer_amx", [] { return false; });
#endif
  module.def("planes", [](const std::string& name, const std::string& dtype) {
    return Table(name).planes.Of(ParseDType(dtype));
  });
  module.def("bf16_rows", [](const std::string& name) { return Table(name).dot_rows_bf16 != nullptr; });
  module.def("int8_rows", [](const std::string& name) { return Table(name).dot_rows_int8 != nullptr; });
#define NPUFA_BIND(name) Bind(module, #name, &Primitives::name)
  NPUFA_BIND(gemm_f32);
  NPUFA_BIND(gemm_bf16);
  NPUFA_BIND(pack_f32);
  NPUFA_BIND(pack_transposed_f32);
  NPUFA_BIND(pack_bf16);
  NPUFA_BIND(pack_vnni_bf16);
  NPUFA_BIND(pack_transposed_vnni_bf16);
  NPUFA_BIND(round_bf16);
  NPUFA_BIND(transpose_bf16);
  NPUFA_BIND(softmax_rows);
  NPUFA_BIND(exp_rows);
  NPUFA_BIND(softmax_grad_rows);
  NPUFA_BIND(softcap_rows);
  NPUFA_BIND(bias_row);
  NPUFA_BIND(alibi_row);
  NPUFA_BIND(mask_row);
  NPUFA_BIND(dropout_philox_row);
  NPUFA_BIND(dropout_bits_row);
  NPUFA_BIND(quantize_row);
  NPUFA_BIND(dot_rows);
  NPUFA_BIND(accumulate_rows);
  NPUFA_BIND(dot_rows_bf16);
  NPUFA_BIND(accumulate_rows_bf16);
  NPUFA_BIND(dot_rows_int8);
  NPUFA_BIND(accumulate_rows_int8);
  NPUFA_BIND(fixed_rows);
  NPUFA_BIND(unpack_int4);
  NPUFA_BIND(scale_rows);
  NPUFA_BIND(to_f32);
  NPUFA_BIND(from_f32);
#undef NPUFA_BIND
}
