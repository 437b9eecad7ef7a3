// Execution of built-in operators by name (aclop). The chip has none of them: descriptions and options are accepted,
// because torch_npu makes them on the way, and execution fails with the operator's name.
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "acl/acl_op_compiler.h"
#include "errors.h"

struct aclTensorDesc {
  aclDataType dtype;
  aclFormat format;
  std::vector<std::int64_t> dims;
};

struct aclDataBuffer {
  void* data;
  std::size_t bytes;
};

struct aclopAttr {};

namespace npufa_sim {

namespace {

std::mutex options_mutex;
std::map<aclCompileOpt, std::string> options;

aclError NoSuchOperator(const char* function, const char* op) {
  return Fail(ACL_ERROR_OP_NOT_FOUND, function,
              std::string("operator ") + (op == nullptr ? "?" : op) + " has no kernel on the simulated chip");
}

}  // namespace

}  // namespace npufa_sim

using namespace npufa_sim;

aclTensorDesc* aclCreateTensorDesc(aclDataType dataType, int numDims, const std::int64_t* dims, aclFormat format) {
  return new aclTensorDesc{dataType, format, std::vector<std::int64_t>(dims, dims + numDims)};
}

void aclDestroyTensorDesc(const aclTensorDesc* desc) { delete desc; }

aclDataType aclGetTensorDescType(const aclTensorDesc* desc) { return desc->dtype; }

aclFormat aclGetTensorDescFormat(const aclTensorDesc* desc) { return desc->format; }

std::size_t aclGetTensorDescNumDims(const aclTensorDesc* desc) { return desc->dims.size(); }

aclError aclGetTensorDescDimV2(const aclTensorDesc* desc, std::size_t index, std::int64_t* dimSize) {
  NPUFA_SIM_REQUIRE_POINTER(desc);
  NPUFA_SIM_REQUIRE_POINTER(dimSize);
  if (index >= desc->dims.size()) {
    return Fail(ACL_ERROR_INVALID_PARAM, __func__,
                "index is " + std::to_string(index) + ", expected less than " + std::to_string(desc->dims.size()));
  }
  *dimSize = desc->dims[index];
  return ACL_SUCCESS;
}

void aclSetTensorDescName(aclTensorDesc*, const char*) {}

aclError aclSetTensorFormat(aclTensorDesc*, aclFormat) { return ACL_SUCCESS; }

aclError aclSetTensorShape(aclTensorDesc*, int, const std::int64_t*) { return ACL_SUCCESS; }

aclError aclSetTensorPlaceMent(aclTensorDesc*, aclMemType) { return ACL_SUCCESS; }

aclDataBuffer* aclCreateDataBuffer(void* data, std::size_t size) { return new aclDataBuffer{data, size}; }

aclError aclDestroyDataBuffer(const aclDataBuffer* dataBuffer) {
  delete dataBuffer;
  return ACL_SUCCESS;
}

aclopAttr* aclopCreateAttr() { return new aclopAttr; }

void aclopDestroyAttr(const aclopAttr* attr) { delete attr; }

aclError aclopCompileAndExecute(const char* opType, int, const aclTensorDesc* const[], const aclDataBuffer* const[],
                                int, const aclTensorDesc* const[], aclDataBuffer* const[], const aclopAttr*,
                                aclopEngineType, aclopCompileType, const char*, aclrtStream) {
  return NoSuchOperator(__func__, opType);
}

aclError aclopCompileAndExecuteV2(const char* opType, int, aclTensorDesc*[], aclDataBuffer*[], int, aclTensorDesc*[],
                                  aclDataBuffer*[], aclopAttr*, aclopEngineType, aclopCompileType, const char*,
                                  aclrtStream) {
  return NoSuchOperator(__func__, opType);
}

aclError aclSetCompileopt(aclCompileOpt opt, const char* value) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  const std::lock_guard<std::mutex> lock(options_mutex);
  options[opt] = value;
  return ACL_SUCCESS;
}

std::size_t aclGetCompileoptSize(aclCompileOpt opt) {
  const std::lock_guard<std::mutex> lock(options_mutex);
  return options[opt].size() + 1;
}

aclError aclGetCompileopt(aclCompileOpt opt, char* value, std::size_t length) {
  NPUFA_SIM_REQUIRE_POINTER(value);
  const std::lock_guard<std::mutex> lock(options_mutex);
  const std::string& text = options[opt];
  if (length <= text.size()) {
    return Fail(ACL_ERROR_INVALID_PARAM, __func__,
                "length is " + std::to_string(length) + ", expected at least " + std::to_string(text.size() + 1));
  }
  std::memcpy(value, text.c_str(), text.size() + 1);
  return ACL_SUCCESS;
}
