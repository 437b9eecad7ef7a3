// What the host tells every attention kernel about the sequences of a call. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

// How the number of tokens of a sequence is given.
enum LengthSource : uint32_t {
  LENGTH_FULL = 0,        // none: every sequence has all tokens
  LENGTH_COMMON = 1,      // one value for all sequences
  LENGTH_EACH = 2,        // one value per sequence
  LENGTH_CUMULATIVE = 3,  // running sum per sequence; a value below the one before it: no tokens
};

// What an end of a window is counted from.
enum WindowOrigin : uint32_t {
  ORIGIN_ROW = 0,      // key i for row i
  ORIGIN_CORNER = 1,   // the last key for the last row
  ORIGIN_STORAGE = 2,  // the key stored at the row's position (left padding)
};

// Row i keeps keys [i + beginShift, i + endShift], each shift counted from its origin.
struct WindowRule {
  int64_t beginShift;
  int64_t endShift;
  uint32_t beginOrigin;  // WindowOrigin
  uint32_t endOrigin;
};

constexpr uint32_t NO_SEQUENCE = 0xffffffff;
constexpr uint32_t LAST_SEQUENCE = 0xfffffffe;  // the last one with rows
constexpr uint32_t MAX_CORE_GROUPS = 32;
constexpr uint32_t CUBE_BLOCK = 128;  // rows and columns of a product of the cube core

struct SequenceTiling {
  uint32_t batch;         // sequences, without the one that stands for padding tokens behind a packed batch
  uint32_t heads;         // query heads
  uint32_t groupSize;     // query heads per key/value head
  uint32_t qTokens;       // Sq; packed: T
  uint32_t kvTokens;      // Skv of the keys proper, without a shared prefix; packed: T
  uint32_t prefixTokens;  // of a shared prefix, which every sequence's keys begin with
  uint32_t packedQuery;   // sequences lie one behind the other
  uint32_t packedKey;
  uint32_t leftPaddedQuery;  // tokens stand at the end of a sequence's storage
  uint32_t leftPaddedKey;
  uint32_t qLengths;  // LengthSource
  uint32_t kvLengths;
  uint32_t longestQuery;  // rows of the longest sequence; padded: Sq
  uint32_t edgeSequence;  // to which `edgeWindow` applies instead of `window`; or NO_SEQUENCE, LAST_SEQUENCE
  uint32_t biasOfTokens;  // rows of the bias are those of the packed query
  uint32_t keepsPrefix;   // keys below prefix[sequence] are kept by every row
  // Lengths that the host does not know: the kernel divides its work itself, and bounds what it reads.
  uint32_t lengthsOnDevice;
  uint32_t mostQuery;  // tokens of a sequence that can take part
  uint32_t mostKey;
  WindowRule window;
  WindowRule edgeWindow;
};

// Where element (batch, head, token, 0) of a tensor lies, in elements. Packed: batch is 0.
struct TensorStrides {
  uint64_t batch;
  uint64_t head;
  uint64_t token;
};

}  // namespace npufa
