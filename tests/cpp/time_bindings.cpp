// The time model (sim/chip) as a Python module, for tests/sim/chip: synthetic traces in, reports out.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bandwidth.h"
#include "bank_conflicts.h"
#include "cost.h"
#include "gm_bursts.h"
#include "l2_cache.h"
#include "replay.h"
#include "time_api.h"

namespace py = pybind11;
using namespace npufa_sim;

namespace {

const ChipDescription& Chip(const std::string& name) {
  const ChipDescription* chip = FindChip(name);
  if (!chip) throw std::invalid_argument("no chip " + name);
  return *chip;
}

ChipDescription Changed(const std::string& name, const std::map<std::string, double>& parameters) {
  ChipDescription chip = Chip(name);
  for (const auto& [parameter, value] : parameters) SetParameter(chip.model, parameter, value);
  return chip;
}

std::string ReplayJson(const std::string& chip, const Trace& trace, const std::map<std::string, double>& parameters) {
  return ToJson(Replay(Changed(chip, parameters), trace));
}

std::vector<std::pair<double, double>> Spans(const std::string& chip, const Trace& trace, std::size_t core) {
  Timeline timeline;
  Replay(Chip(chip), trace, &timeline);
  std::vector<std::pair<double, double>> spans;
  for (const Span& span : timeline.cores.at(core)) spans.emplace_back(span.start, span.end);
  return spans;
}

// bytes, blocks, block stride, rows, row stride
using ExtentTuple = std::array<std::int64_t, 5>;

void AddBursts(Record& record, std::uint64_t address, const ExtentTuple& e) {
  TensorRef tensor;
  tensor.address = address;
  SetGmBursts(record, tensor, {0, e[0], e[1], e[2], e[3], e[4]});
}

// address, block stride, repeat stride, blocks, read, write
using BankTuple = std::tuple<std::uint64_t, std::int64_t, std::int64_t, int, bool, bool>;

// Cycles of the banks, repeats that read and write one bank, and both as a record holds them.
std::tuple<std::uint32_t, std::uint32_t, std::uint32_t> Banks(const std::vector<BankTuple>& tuples,
                                                              std::int64_t repeats) {
  std::vector<BankOperand> operands;
  for (const auto& [address, block, repeat, blocks, read, write] : tuples) {
    operands.push_back({address, block, repeat, blocks, read, write});
  }
  const BankUse use = BanksOf(operands.data(), static_cast<int>(operands.size()), repeats);
  return {use.cycles, use.read_write, use.Packed()};
}

Record BurstsOf(std::uint64_t address, const std::vector<ExtentTuple>& extents) {
  Record record;
  record.op = OpClass::kGmToL1;
  for (const ExtentTuple& extent : extents) AddBursts(record, address, extent);
  return record;
}

void BindTrace(py::module_& m) {
  py::enum_<Pipe>(m, "Pipe")
      .value("S", Pipe::kS)
      .value("V", Pipe::kV)
      .value("M", Pipe::kM)
      .value("MTE1", Pipe::kMTE1)
      .value("MTE2", Pipe::kMTE2)
      .value("MTE3", Pipe::kMTE3)
      .value("FIX", Pipe::kFIX);
  py::enum_<CoreKind>(m, "CoreKind").value("cube", CoreKind::kCube).value("vector", CoreKind::kVector);
  py::enum_<MmadType>(m, "MmadType")
      .value("half", MmadType::kHalf)
      .value("bfloat16", MmadType::kBfloat16)
      .value("float32", MmadType::kFloat32)
      .value("int8", MmadType::kInt8)
      .value("int4", MmadType::kInt4)
      .value("hf32", MmadType::kHf32);
  py::enum_<OpClass>(m, "Op")
      .value("scalar", OpClass::kScalar)
      .value("vec_add", OpClass::kVecAdd)
      .value("vec_mul", OpClass::kVecMul)
      .value("vec_scalar", OpClass::kVecScalar)
      .value("vec_exp", OpClass::kVecExp)
      .value("vec_div", OpClass::kVecDiv)
      .value("vec_cast", OpClass::kVecCast)
      .value("vec_reduce_block", OpClass::kVecReduceBlock)
      .value("vec_reduce_repeat", OpClass::kVecReduceRepeat)
      .value("vec_gather", OpClass::kVecGather)
      .value("mmad", OpClass::kMmad)
      .value("load_l0a", OpClass::kLoadL0A)
      .value("load_l0b", OpClass::kLoadL0B)
      .value("load_table", OpClass::kLoadTable)
      .value("gm_to_ub", OpClass::kGmToUb)
      .value("gm_to_l1", OpClass::kGmToL1)
      .value("ub_to_gm", OpClass::kUbToGm)
      .value("l0c_to_gm", OpClass::kL0cToGm)
      .value("l0c_to_l1", OpClass::kL0cToL1)
      .value("set_flag", OpClass::kSetFlag)
      .value("wait_flag", OpClass::kWaitFlag)
      .value("barrier", OpClass::kBarrier)
      .value("cross_set", OpClass::kCrossSet)
      .value("cross_wait", OpClass::kCrossWait);
  py::enum_<Manner>(m, "Manner")
      .value("plain", Manner::kPlain)
      .value("masked", Manner::kMasked)
      .value("counted", Manner::kCounted)
      .value("queued", Manner::kQueued)
      .value("past_l2", Manner::kPastL2);
  py::class_<Record>(m, "Record")
      .def(py::init([](OpClass op, Pipe pipe, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t event,
                       std::uint64_t gm_address, std::uint8_t dtype, std::uint32_t site, Manner manner) {
             Record r;
             r.manner = manner;
             r.op = op;
             r.pipe = pipe;
             r.dtype = dtype;
             r.site = site;
             r.a = a;
             r.b = b;
             r.c = c;
             r.event = event;
             r.gm_address = gm_address;
             return r;
           }),
           py::arg("op"), py::arg("pipe"), py::arg("a") = 0, py::arg("b") = 0, py::arg("c") = 0, py::arg("event") = 0,
           py::arg("gm_address") = 0, py::arg("dtype") = 0, py::arg("site") = 0, py::arg("manner") = Manner::kPlain)
      .def_readonly("op", &Record::op)
      .def_readonly("pipe", &Record::pipe)
      .def_readonly("a", &Record::a)
      .def_readonly("b", &Record::b)
      .def_readonly("c", &Record::c)
      .def_readonly("event", &Record::event)
      .def_readonly("gm_address", &Record::gm_address);
  py::class_<Trace>(m, "Trace")
      .def(py::init([](const std::string& kernel, std::uint32_t cross_events) {
             Trace trace;
             trace.kernel = kernel;
             trace.cross_events = cross_events;
             return trace;
           }),
           py::arg("kernel") = "kernel", py::arg("cross_events") = 0)
      .def("add_core", [](Trace& trace, CoreKind kind, int group, int index, const std::vector<Record>& records,
                          int repeat, const std::vector<std::tuple<std::string, std::string, int>>& sites) {
        CoreTrace& core = trace.cores.emplace_back();
        core.kind = kind;
        core.group = group;
        core.index = index;
        for (int i = 0; i < repeat; ++i) core.records.insert(core.records.end(), records.begin(), records.end());
        for (const auto& [instruction, file, line] : sites) core.sites.push_back({instruction, file, line});
        trace.block_dim = static_cast<std::uint32_t>(trace.cores.size());
      });
}

void BindModel(py::module_& m) {
  m.def("chip_names", &ChipNames);
  m.def("facts", [](const std::string& chip) { return Chip(chip).facts; });
  m.def("parameter",
        [](const std::string& chip, const std::string& name) { return GetParameter(Chip(chip).model, name); });
  m.def("cube_peak", [](const std::string& chip, MmadType type) { return Chip(chip).CubePeak(type); });
  m.def("space_bytes", [](const std::string& chip) {
    std::map<std::string, std::uint32_t> bytes;
    for (int s = 0; s < kSpaces; ++s) bytes[NameOf(static_cast<Space>(s))] = Chip(chip).space_bytes[s];
    return bytes;
  });
  m.def("cost", [](const std::string& chip, const Record& record) {
    const InstructionCost cost = CostOf(Chip(chip).model, record);
    return std::pair(cost.busy, cost.latency);
  });
  m.def("issue", [](const std::string& chip, const Record& record) { return IssueCycles(Chip(chip).model, record); });
  m.def("banks", &Banks);
  m.def("bursts", &BurstsOf);
  m.def("replay", &ReplayJson, py::arg("chip"), py::arg("trace"),
        py::arg("parameters") = std::map<std::string, double>());
  m.def("spans", &Spans);
  m.def("keep", [](const std::string& chip, const Trace& trace) {
    LaunchResult result;
    result.completed = true;
    result.trace = trace;
    KeepLaunch(Chip(chip), trace.kernel, std::move(result));
  });
}

void BindMemory(py::module_& m) {
  py::class_<L2Cache>(m, "L2Cache")
      .def(py::init<std::uint64_t, std::uint64_t>())
      .def("access", [](L2Cache& cache, std::uint64_t address, std::uint32_t count, std::uint32_t bytes,
                        std::uint32_t stride, bool write) {
        const L2Lines lines = cache.Access(address, count, bytes, stride, write);
        return std::tuple(lines.touched, lines.missed, lines.written_back);
      });
  py::class_<SharedBandwidth>(m, "SharedBandwidth").def(py::init<double>()).def("move", &SharedBandwidth::Move);
}

}  // namespace

PYBIND11_MODULE(npufa_test_time, m) {
  BindTrace(m);
  BindModel(m);
  BindMemory(m);
}
