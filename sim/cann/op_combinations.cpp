#include "op_combinations.h"

#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

namespace npufa_sim {

namespace {

// A parameter without formats is of any plain one.
const std::vector<ge::Format>& FormatsOf(const ops::OpParamDef& param) {
  static const std::vector<ge::Format> kOnlyNd = {ge::FORMAT_ND};
  return param.formats.empty() ? kOnlyNd : param.formats;
}

bool FormatsAreColumns(const ops::OpParamDef& param) { return !param.any_format && !param.formats.empty(); }

std::size_t CountColumns(const std::string& op_type, const std::vector<const ops::OpParamDef*>& params) {
  std::optional<std::size_t> columns;
  const auto add = [&](const ops::OpParamDef& param, std::size_t size) {
    if (columns && size != *columns) {
      throw std::invalid_argument(op_type + ": " + param.name + " lists " + std::to_string(size) +
                                  " types or formats where others list " + std::to_string(*columns));
    }
    columns = size;
  };
  for (const ops::OpParamDef* param : params) {
    if (!param->any_type) add(*param, param->types.size());
    if (FormatsAreColumns(*param)) add(*param, param->formats.size());
  }
  return columns.value_or(1);
}

void RequireFew(const std::string& op_type, const std::vector<const ops::OpParamDef*>& params, std::size_t columns) {
  std::size_t count = columns;
  std::string factors = std::to_string(columns) + (columns == 1 ? " column" : " columns");
  const auto multiply = [&](const ops::OpParamDef& param, std::size_t size, const char* what) {
    if (size <= 1) return;
    if (__builtin_mul_overflow(count, size, &count)) count = std::numeric_limits<std::size_t>::max();
    factors += " x " + std::to_string(size) + ' ' + what + " of " + param.name;
  };
  for (const ops::OpParamDef* param : params) {
    if (param->any_type) multiply(*param, param->types.size(), "types");
    if (!FormatsAreColumns(*param)) multiply(*param, FormatsOf(*param).size(), "formats");
  }
  if (count <= kMaxCombinations) return;
  throw std::invalid_argument(op_type + ": lists that go with every combination multiply for op_build, got " +
                              std::to_string(count) + " combinations (" + factors + "); expected at most " +
                              std::to_string(kMaxCombinations) + ": columns, by DataType and Format");
}

template <class T>
std::vector<T> Choices(const std::vector<T>& list, bool all, std::size_t column) {
  return all ? list : std::vector<T>{list[column]};
}

void Append(const ops::OpParamDef& param, std::size_t column, std::vector<Combination>* rows) {
  std::vector<Combination> longer;
  for (const Combination& row : *rows) {
    for (const ge::DataType type : Choices(param.types, param.any_type, column)) {
      for (const ge::Format format : Choices(FormatsOf(param), !FormatsAreColumns(param), column)) {
        longer.push_back(row);
        longer.back().push_back({type, format});
      }
    }
  }
  *rows = std::move(longer);
}

}  // namespace

std::vector<Combination> Combinations(const std::string& op_type, const std::vector<const ops::OpParamDef*>& params) {
  const std::size_t columns = CountColumns(op_type, params);
  RequireFew(op_type, params, columns);
  std::vector<Combination> all;
  for (std::size_t column = 0; column < columns; ++column) {
    std::vector<Combination> rows(1);
    for (const ops::OpParamDef* param : params) Append(*param, column, &rows);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace npufa_sim
