// HCCL's functions that make, end and describe communicators.
#include <cstring>
#include <map>

#include "calls.h"
#include "hccl/hccl.h"

using namespace npufa_sim::hccl;

namespace {

void RequirePointer(const char* argument, const void* pointer) {
  if (pointer == nullptr) throw Error(HCCL_E_PTR, std::string(argument) + " is null");
}

void Create(const std::filesystem::path& directory, std::uint32_t ranks, std::uint32_t rank,
            const HcclCommConfig* config, HcclComm* comm) {
  RequirePointer("comm", comm);
  if (rank >= ranks) {
    throw Error(HCCL_E_PARA,
                "rank is " + std::to_string(rank) + "; expected less than nRanks = " + std::to_string(ranks));
  }
  std::string name = directory.filename();
  if (config != nullptr && config->hcclCommName[0] != '\0') {
    name.assign(config->hcclCommName, strnlen(config->hcclCommName, COMM_NAME_MAX_LENGTH));
  }
  *comm = Keep(std::make_unique<Communicator>(directory, rank, ranks, name));
}

std::map<HcclConfig, HcclConfigValue>& Configuration() {
  static std::map<HcclConfig, HcclConfigValue> values{{HCCL_DETERMINISTIC, {1}}};  // sums are in the order of ranks
  return values;
}

}  // namespace

HcclResult HcclGetRootInfo(HcclRootInfo* rootInfo) {
  return Checked(__func__, [&] {
    RequirePointer("rootInfo", rootInfo);
    std::memset(rootInfo, 0, sizeof *rootInfo);
    const std::string path = NewDirectory();
    path.copy(rootInfo->internal, HCCL_ROOT_INFO_BYTES - 1);
  });
}

HcclResult HcclCommInitRootInfoConfig(std::uint32_t nRanks, const HcclRootInfo* rootInfo, std::uint32_t rank,
                                      const HcclCommConfig* config, HcclComm* comm) {
  return Checked(__func__, [&] {
    RequirePointer("rootInfo", rootInfo);
    const std::string path(rootInfo->internal, strnlen(rootInfo->internal, HCCL_ROOT_INFO_BYTES));
    if (path.empty() || !std::filesystem::is_directory(path)) {
      throw Error(HCCL_E_PARA, "rootInfo is not of HcclGetRootInfo on this host");
    }
    Create(path, nRanks, rank, config, comm);
  });
}

HcclResult HcclCommInitRootInfo(std::uint32_t nRanks, const HcclRootInfo* rootInfo, std::uint32_t rank,
                                HcclComm* comm) {
  return HcclCommInitRootInfoConfig(nRanks, rootInfo, rank, nullptr, comm);
}

HcclResult HcclCreateSubCommConfig(HcclComm* comm, std::uint32_t rankNum, std::uint32_t* rankIds,
                                   std::uint64_t subCommId, std::uint32_t subCommRankId, HcclCommConfig* config,
                                   HcclComm* subComm) {
  return Checked(__func__, [&] {
    RequirePointer("comm", comm);
    RequirePointer("subComm", subComm);
    if (rankIds == nullptr) {  // this rank is not among them
      *subComm = nullptr;
      return;
    }
    const std::shared_ptr<Communicator> parent = Find(*comm);
    for (std::uint32_t i = 0; i < rankNum; ++i) parent->RequireRank("rankIds", rankIds[i]);
    const auto directory = parent->mailbox().directory() / ("sub-" + std::to_string(subCommId));
    std::filesystem::create_directory(directory);
    Create(directory, rankNum, subCommRankId, config, subComm);
  });
}

HcclResult HcclCommInitAll(std::uint32_t, std::int32_t*, HcclComm*) {
  return Checked(__func__, [] {
    throw Error(HCCL_E_NOT_SUPPORT,
                "the simulator has a process per rank; expected HcclCommInitRootInfo in each of them");
  });
}

HcclResult HcclCommDestroy(HcclComm comm) {
  return Checked(__func__, [&] { Drop(comm); });
}

HcclResult HcclGetCommName(HcclComm comm, char* commName) {
  return Checked(__func__, [&] {
    RequirePointer("commName", commName);
    const std::string name = Find(comm)->name().substr(0, COMM_NAME_MAX_LENGTH - 1);
    std::memcpy(commName, name.c_str(), name.size() + 1);
  });
}

HcclResult HcclGetRankSize(HcclComm comm, std::uint32_t* rankSize) {
  return Checked(__func__, [&] {
    RequirePointer("rankSize", rankSize);
    *rankSize = Find(comm)->size();
  });
}

HcclResult HcclGetRankId(HcclComm comm, std::uint32_t* rank) {
  return Checked(__func__, [&] {
    RequirePointer("rank", rank);
    *rank = Find(comm)->rank();
  });
}

HcclResult HcclGetCommAsyncError(HcclComm comm, HcclResult* asyncError) {
  return Checked(__func__, [&] {
    RequirePointer("asyncError", asyncError);
    Find(comm);
    *asyncError = HCCL_SUCCESS;  // every call has returned its own error
  });
}

const char* HcclGetErrorString(HcclResult code) {
  switch (code) {
    case HCCL_SUCCESS: return "no error";
    case HCCL_E_PARA: return "parameter error";
    case HCCL_E_PTR: return "empty pointer";
    case HCCL_E_NOT_SUPPORT: return "feature not supported";
    case HCCL_E_SYSCALL: return "system call error";
    case HCCL_E_TIMEOUT: return "timeout";
    case HCCL_E_RUNTIME: return "runtime error";
    case HCCL_E_REMOTE: return "remote rank failed";
    default: return "unknown error";
  }
}

HcclResult HcclSetConfig(HcclConfig config, HcclConfigValue configValue) {
  Configuration()[config] = configValue;
  return HCCL_SUCCESS;
}

HcclResult HcclGetConfig(HcclConfig config, HcclConfigValue* configValue) {
  return Checked(__func__, [&] {
    RequirePointer("configValue", configValue);
    *configValue = Configuration()[config];
  });
}

std::uint32_t HcclGetCommConfigCapability() { return HCCL_COMM_CONFIG_COMM_NAME + 1; }
