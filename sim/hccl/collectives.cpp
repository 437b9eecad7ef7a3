// HCCL's collectives and pairwise transfers. They are not modelled in time.
#include <cstring>
#include <utility>

#include "calls.h"
#include "hccl/hccl.h"
#include "reduce.h"

using namespace npufa_sim::hccl;

namespace {

char* At(const void* data, std::uint64_t bytes) { return static_cast<char*>(const_cast<void*>(data)) + bytes; }

// Pieces from counts and displacements of elements, one of each per rank.
Pieces Varying(const void* data, const std::uint64_t* counts, const std::uint64_t* places, std::uint32_t ranks,
               HcclDataType type) {
  Pieces pieces(ranks);
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    pieces[rank] = {At(data, places[rank] * BytesOf(type)), counts[rank] * BytesOf(type)};
  }
  return pieces;
}

void RequireMemoryOf(const char* argument, const Pieces& pieces) {
  for (const Piece& piece : pieces) RequireMemory(argument, piece.data, piece.bytes);
}

// Calls on one stream: the lists of a call are read before it returns, as the caller may free them then.
HcclResult ExchangeOnStream(const char* function, HcclComm comm, aclrtStream stream,
                            const std::function<std::pair<Pieces, Pieces>(Communicator&)>& pieces_of) {
  std::pair<Pieces, Pieces> pieces;
  const HcclResult read = Checked(function, [&] {
    pieces = pieces_of(*Find(comm));
    RequireMemoryOf("sendBuf", pieces.first);
    RequireMemoryOf("recvBuf", pieces.second);
  });
  if (read != HCCL_SUCCESS) return read;
  return OnStream(function, comm, stream,
                  [=](Communicator& group) { group.Exchange(function, pieces.first, pieces.second); });
}

// What ranks send to this one, summed up in the order of ranks so that every rank gets the same bits.
void ExchangeAndReduce(Communicator& group, const char* function, const Pieces& out, bool receives, void* into,
                       std::uint64_t count, HcclDataType type, HcclReduceOp op) {
  Reduce(nullptr, nullptr, 0, type, op);  // raises before anything is sent
  const std::uint64_t bytes = count * BytesOf(type);
  std::vector<char> parts(receives ? group.size() * bytes : 0);
  group.Exchange(function, out, receives ? group.Everyone(parts.data(), bytes, bytes) : Pieces(group.size()));
  if (!receives) return;
  for (std::uint32_t rank = 1; rank < group.size(); ++rank) {
    Reduce(parts.data(), parts.data() + rank * bytes, count, type, op);
  }
  std::memcpy(into, parts.data(), bytes);
}

const std::uint64_t* List(const char* argument, const void* list) {
  if (list == nullptr) throw Error(HCCL_E_PTR, std::string(argument) + " is null");
  return static_cast<const std::uint64_t*>(list);
}

void Send(Communicator& group, const void* data, std::uint64_t bytes, std::uint32_t to) {
  group.RequireRank("destRank", to);
  RequireMemory("sendBuf", data, bytes);
  group.mailbox().Post(kPair, to, "HcclSend", data, bytes);
}

void Receive(Communicator& group, void* data, std::uint64_t bytes, std::uint32_t from) {
  group.RequireRank("srcRank", from);
  RequireMemory("recvBuf", data, bytes);
  group.mailbox().Take(kPair, from, "HcclSend", data, bytes);
}

}  // namespace

HcclResult HcclAllReduce(void* sendBuf, void* recvBuf, std::uint64_t count, HcclDataType dataType, HcclReduceOp op,
                         HcclComm comm, aclrtStream stream) {
  return OnStream(__func__, comm, stream, [=, function = __func__](Communicator& group) {
    const std::uint64_t bytes = count * BytesOf(dataType);
    RequireMemory("sendBuf", sendBuf, bytes);
    RequireMemory("recvBuf", recvBuf, bytes);
    ExchangeAndReduce(group, function, group.Everyone(sendBuf, bytes, 0), true, recvBuf, count, dataType, op);
  });
}

HcclResult HcclReduce(void* sendBuf, void* recvBuf, std::uint64_t count, HcclDataType dataType, HcclReduceOp op,
                      std::uint32_t root, HcclComm comm, aclrtStream stream) {
  return OnStream(__func__, comm, stream, [=, function = __func__](Communicator& group) {
    const std::uint64_t bytes = count * BytesOf(dataType);
    const bool receives = group.rank() == root;
    group.RequireRank("root", root);
    RequireMemory("sendBuf", sendBuf, bytes);
    if (receives) RequireMemory("recvBuf", recvBuf, bytes);
    ExchangeAndReduce(group, function, group.Only(root, sendBuf, bytes), receives, recvBuf, count, dataType, op);
  });
}

HcclResult HcclReduceScatter(void* sendBuf, void* recvBuf, std::uint64_t recvCount, HcclDataType dataType,
                             HcclReduceOp op, HcclComm comm, aclrtStream stream) {
  return OnStream(__func__, comm, stream, [=, function = __func__](Communicator& group) {
    const std::uint64_t bytes = recvCount * BytesOf(dataType);
    RequireMemory("sendBuf", sendBuf, group.size() * bytes);
    RequireMemory("recvBuf", recvBuf, bytes);
    ExchangeAndReduce(group, function, group.Everyone(sendBuf, bytes, bytes), true, recvBuf, recvCount, dataType, op);
  });
}

HcclResult HcclReduceScatterV(void* sendBuf, const void* sendCounts, const void* sendDispls, void* recvBuf,
                              std::uint64_t recvCount, HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                              aclrtStream stream) {
  Pieces out;
  const HcclResult read = Checked(__func__, [&] {
    out =
        Varying(sendBuf, List("sendCounts", sendCounts), List("sendDispls", sendDispls), Find(comm)->size(), dataType);
    RequireMemoryOf("sendBuf", out);
    RequireMemory("recvBuf", recvBuf, recvCount * BytesOf(dataType));
  });
  if (read != HCCL_SUCCESS) return read;
  return OnStream(__func__, comm, stream, [=, function = __func__](Communicator& group) {
    ExchangeAndReduce(group, function, out, true, recvBuf, recvCount, dataType, op);
  });
}

HcclResult HcclBroadcast(void* buf, std::uint64_t count, HcclDataType dataType, std::uint32_t root, HcclComm comm,
                         aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    group.RequireRank("root", root);
    const std::uint64_t bytes = count * BytesOf(dataType);
    if (group.rank() == root) return {group.Everyone(buf, bytes, 0), Pieces(group.size())};
    return {Pieces(group.size()), group.Only(root, buf, bytes)};
  });
}

HcclResult HcclScatter(void* sendBuf, void* recvBuf, std::uint64_t recvCount, HcclDataType dataType, std::uint32_t root,
                       HcclComm comm, aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    group.RequireRank("root", root);
    const std::uint64_t bytes = recvCount * BytesOf(dataType);
    const bool sends = group.rank() == root;
    return {sends ? group.Everyone(sendBuf, bytes, bytes) : Pieces(group.size()), group.Only(root, recvBuf, bytes)};
  });
}

HcclResult HcclAllGather(void* sendBuf, void* recvBuf, std::uint64_t sendCount, HcclDataType dataType, HcclComm comm,
                         aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    const std::uint64_t bytes = sendCount * BytesOf(dataType);
    return {group.Everyone(sendBuf, bytes, 0), group.Everyone(recvBuf, bytes, bytes)};
  });
}

HcclResult HcclAllGatherV(void* sendBuf, std::uint64_t sendCount, void* recvBuf, const void* recvCounts,
                          const void* recvDispls, HcclDataType dataType, HcclComm comm, aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    return {group.Everyone(sendBuf, sendCount * BytesOf(dataType), 0),
            Varying(recvBuf, List("recvCounts", recvCounts), List("recvDispls", recvDispls), group.size(), dataType)};
  });
}

HcclResult HcclAlltoAll(const void* sendBuf, std::uint64_t sendCount, HcclDataType sendType, const void* recvBuf,
                        std::uint64_t recvCount, HcclDataType recvType, HcclComm comm, aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    const std::uint64_t out = sendCount * BytesOf(sendType), in = recvCount * BytesOf(recvType);
    return {group.Everyone(sendBuf, out, out), group.Everyone(recvBuf, in, in)};
  });
}

HcclResult HcclAlltoAllV(const void* sendBuf, const void* sendCounts, const void* sdispls, HcclDataType sendType,
                         const void* recvBuf, const void* recvCounts, const void* rdispls, HcclDataType recvType,
                         HcclComm comm, aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    return {Varying(sendBuf, List("sendCounts", sendCounts), List("sdispls", sdispls), group.size(), sendType),
            Varying(recvBuf, List("recvCounts", recvCounts), List("rdispls", rdispls), group.size(), recvType)};
  });
}

// Element [i][j] of the matrix: what rank i sends to rank j; pieces lie side by side.
HcclResult HcclAlltoAllVC(const void* sendBuf, const void* sendCountMatrix, HcclDataType sendType, const void* recvBuf,
                          HcclDataType recvType, HcclComm comm, aclrtStream stream) {
  return ExchangeOnStream(__func__, comm, stream, [=](Communicator& group) -> std::pair<Pieces, Pieces> {
    const std::uint64_t* matrix = List("sendCountMatrix", sendCountMatrix);
    const std::uint32_t size = group.size(), own = group.rank();
    std::vector<std::uint64_t> out(size), in(size), out_at(size), in_at(size);
    for (std::uint32_t rank = 0; rank < size; ++rank) {
      out[rank] = matrix[own * size + rank];
      in[rank] = matrix[rank * size + own];
      if (rank + 1 == size) break;
      out_at[rank + 1] = out_at[rank] + out[rank];
      in_at[rank + 1] = in_at[rank] + in[rank];
    }
    return {Varying(sendBuf, out.data(), out_at.data(), size, sendType),
            Varying(recvBuf, in.data(), in_at.data(), size, recvType)};
  });
}

HcclResult HcclBarrier(HcclComm comm, aclrtStream stream) {
  return OnStream(__func__, comm, stream, [function = __func__](Communicator& group) {
    char out = 0;
    std::vector<char> in(group.size());
    group.Exchange(function, group.Everyone(&out, 1, 0), group.Everyone(in.data(), 1, 1));
  });
}

HcclResult HcclSend(void* sendBuf, std::uint64_t count, HcclDataType dataType, std::uint32_t destRank, HcclComm comm,
                    aclrtStream stream) {
  return OnStream(__func__, comm, stream,
                  [=](Communicator& group) { Send(group, sendBuf, count * BytesOf(dataType), destRank); });
}

HcclResult HcclRecv(void* recvBuf, std::uint64_t count, HcclDataType dataType, std::uint32_t srcRank, HcclComm comm,
                    aclrtStream stream) {
  return OnStream(__func__, comm, stream,
                  [=](Communicator& group) { Receive(group, recvBuf, count * BytesOf(dataType), srcRank); });
}

HcclResult HcclBatchSendRecv(HcclSendRecvItem* sendRecvInfo, std::uint32_t itemNum, HcclComm comm, aclrtStream stream) {
  if (sendRecvInfo == nullptr && itemNum > 0) {
    return Checked(__func__, [] { throw Error(HCCL_E_PTR, "sendRecvInfo is null"); });
  }
  const std::vector<HcclSendRecvItem> items(sendRecvInfo, sendRecvInfo + itemNum);
  return OnStream(__func__, comm, stream, [=](Communicator& group) {
    for (const HcclSendRecvItem& item : items) {
      if (item.sendRecvType == HCCL_SEND) Send(group, item.buf, item.count * BytesOf(item.dataType), item.remoteRank);
    }
    for (const HcclSendRecvItem& item : items) {
      if (item.sendRecvType == HCCL_RECV)
        Receive(group, item.buf, item.count * BytesOf(item.dataType), item.remoteRank);
    }
  });
}
