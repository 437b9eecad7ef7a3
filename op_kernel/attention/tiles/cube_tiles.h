// Tiles of up to 128 rows of 256 bytes on their way through the cube core: GM -> L1 -> L0 -> product -> GM.
#pragma once

#include "../../tiling/sequence_tiling.h"
#include "utils.h"

namespace npufa {

// A block of scores has CUBE_BLOCK x SCORE_COLUMNS elements or the other way round: two of them and a sum of products
// share L0C.
constexpr uint32_t SCORE_COLUMNS = 64;

// Rows and columns of a tile in L1 that an operand takes. First row and column: multiples of 16.
struct TilePart {
  uint32_t tileRows;  // of the whole tile
  uint32_t firstRow;
  uint32_t rows;
  uint32_t firstColumn;
  uint32_t columns;
};

// T: half, bfloat16_t or float. A tile in L1 consists of columns of fractals, 16 rows of 32 bytes each.
template <typename T>
struct ProductOf {
  using Type = float;
};
template <>
struct ProductOf<int8_t> {
  using Type = int32_t;
};

template <typename T>
class CubeTiles {
 public:
  // int8 operands make int32 products.
  using Product = typename ProductOf<T>::Type;
  using L1Queue = AscendC::TQue<AscendC::TPosition::A1, 1>;

  // Elements of a product's depth that fit in L0.
  static constexpr uint32_t DEPTH = 256 / sizeof(T);

  __aicore__ inline void Init(AscendC::TPipe& pipe) {
    InitInputs(pipe, L1_TILES, TILE_BYTES);
    pipe.InitBuffer(scores_, 2, CUBE_BLOCK * SCORE_COLUMNS * sizeof(float));
    pipe.InitBuffer(sum_, 1, CUBE_BLOCK * CUBE_BLOCK * sizeof(float));
  }
  // With four buffers for scores and none for a sum.
  __aicore__ inline void InitScoresOnly(AscendC::TPipe& pipe, uint32_t l1Tiles, uint32_t l1TileBytes) {
    InitInputs(pipe, l1Tiles, l1TileBytes);
    pipe.InitBuffer(scores_, 4, CUBE_BLOCK * SCORE_COLUMNS * sizeof(float));
  }

  // With two buffers for products of CUBE_BLOCK x CUBE_BLOCK, scores and sums in turn.
  __aicore__ inline void InitWholeProducts(AscendC::TPipe& pipe, uint32_t l1Tiles, uint32_t l1TileBytes) {
    InitInputs(pipe, l1Tiles, l1TileBytes);
    pipe.InitBuffer(scores_, 2, CUBE_BLOCK * CUBE_BLOCK * sizeof(float));
  }

  // An empty tile for `tileRows` x `tileColumns` elements: fill it by CopyRows, then use what Ready returns.
  __aicore__ inline AscendC::LocalTensor<T> Alloc(uint32_t tileRows, uint32_t tileColumns) {
    return AllocFrom(l1_, tileRows, tileColumns);
  }
  __aicore__ inline AscendC::LocalTensor<T> Ready(const AscendC::LocalTensor<T>& tile) { return ReadyIn(l1_, tile); }
  __aicore__ inline void Free(AscendC::LocalTensor<T>& tile) { l1_.FreeTensor(tile); }

  // The same with a queue of the caller's.
  __aicore__ inline static AscendC::LocalTensor<T> AllocFrom(L1Queue& queue, uint32_t tileRows, uint32_t tileColumns) {
    AscendC::LocalTensor<T> tile = queue.template AllocTensor<T>();
    // One row alone would switch the cube to its matrix-vector mode: it gets zero rows beside it. Rows are taken in
    // blocks of 64 or 128.
    if (tileRows % (CUBE_BLOCK / 2) == 1) ClearTile(tile, tileRows, tileColumns);
    return tile;
  }
  __aicore__ inline static AscendC::LocalTensor<T> ReadyIn(L1Queue& queue, const AscendC::LocalTensor<T>& tile) {
    queue.EnQue(tile);
    return queue.template DeQue<T>();
  }

  // Copies `rows` x `columns` elements with `pitch` between rows to (firstRow, firstColumn) of a tile of `tileRows`
  // rows. firstColumn: a multiple of 16. Columns are filled up with zeros to whole 32 bytes.
  __aicore__ inline static void CopyRows(const AscendC::LocalTensor<T>& tile, uint32_t tileRows, uint32_t firstRow,
                                         uint32_t firstColumn, const AscendC::GlobalTensor<T>& source, uint32_t rows,
                                         uint32_t columns, uint64_t pitch) {
    const uint32_t storedRows = AlignUp(tileRows, FRACTAL);
    const AscendC::LocalTensor<T> target = tile[firstColumn * storedRows + firstRow * C0];
    // A copy takes rows at most 65535 elements apart. Fractals of any type are 32 bytes wide: wider elements reach
    // further, where rows and their distance consist of whole ones.
    if (pitch > MAX_COPY_PITCH && columns % PER_WIDE == 0 && pitch % PER_WIDE == 0) {
      AscendC::GlobalTensor<Wide> wide;
      wide.SetGlobalBuffer(reinterpret_cast<__gm__ Wide*>(const_cast<__gm__ T*>(source.GetPhyAddr())));
      CopyElements(target.template ReinterpretCast<Wide>(), storedRows, wide, rows, columns / PER_WIDE,
                   pitch / PER_WIDE);
    } else {
      CopyElements(target, storedRows, source, rows, columns, pitch);
    }
  }

  // The same from an NZ matrix, which has the order of a tile: 32 bytes of every row, then the next, `pitch` elements
  // behind the first.
  __aicore__ inline static void CopyColumns(const AscendC::LocalTensor<T>& tile, uint32_t tileRows, uint32_t firstRow,
                                            const AscendC::GlobalTensor<T>& source, uint32_t rows, uint32_t columns,
                                            uint64_t pitch) {
    const uint32_t storedRows = AlignUp(tileRows, FRACTAL), copies = columns / C0;
    const uint64_t gap = pitch / C0 - rows;
    const bool together = gap <= MAX_COPY_PITCH;
    const uint32_t perCopy = together ? copies : 1;
    const AscendC::DataCopyParams params(static_cast<uint16_t>(perCopy), static_cast<uint16_t>(rows),
                                         together ? static_cast<uint16_t>(gap) : 0,
                                         static_cast<uint16_t>(storedRows - rows));
    for (uint32_t copy = 0; copy < copies; copy += perCopy) {
      AscendC::DataCopy(tile[(copy * storedRows + firstRow) * C0], source[copy * pitch], params);
    }
  }

  // A tile of one run of rows.
  __aicore__ inline AscendC::LocalTensor<T> Load(const AscendC::GlobalTensor<T>& source, uint32_t rows,
                                                 uint32_t columns, uint64_t pitch) {
    return LoadInto(l1_, source, rows, columns, pitch);
  }
  __aicore__ inline static AscendC::LocalTensor<T> LoadInto(L1Queue& queue, const AscendC::GlobalTensor<T>& source,
                                                            uint32_t rows, uint32_t columns, uint64_t pitch) {
    const AscendC::LocalTensor<T> tile = AllocFrom(queue, rows, columns);
    CopyRows(tile, rows, 0, 0, source, rows, columns, pitch);
    return ReadyIn(queue, tile);
  }

  // Left operand: a part of a tile as it is, or `rows` x `depth` from column `firstColumn` of a tile of `rows` rows.
  __aicore__ inline AscendC::LocalTensor<T> LoadLeft(const AscendC::LocalTensor<T>& tile, const TilePart& part) {
    AscendC::LocalTensor<T> left = a_.template AllocTensor<T>();
    LoadPart(left, tile, part, false);
    a_.EnQue(left);
    return a_.template DeQue<T>();
  }
  __aicore__ inline AscendC::LocalTensor<T> LoadLeft(const AscendC::LocalTensor<T>& tile, uint32_t rows,
                                                     uint32_t firstColumn, uint32_t depth) {
    return LoadLeft(tile, TilePart{rows, 0, rows, firstColumn, depth});
  }

  // Left operand: the transpose of a part, whose rows are the depth.
  __aicore__ inline AscendC::LocalTensor<T> LoadLeftTransposed(const AscendC::LocalTensor<T>& tile,
                                                               const TilePart& part) {
    AscendC::LocalTensor<T> left = a_.template AllocTensor<T>();
    LoadPart(left, tile, part, true);
    a_.EnQue(left);
    return a_.template DeQue<T>();
  }
  __aicore__ inline void FreeLeft(AscendC::LocalTensor<T>& left) { a_.FreeTensor(left); }

  // Right operand: a part of a tile as it is (its rows are the depth), or all of a tile `depth` x `columns`.
  // int8: all rows of a tile whose stored rows are a multiple of 32.
  __aicore__ inline AscendC::LocalTensor<T> LoadRight(const AscendC::LocalTensor<T>& tile, const TilePart& part) {
    AscendC::LocalTensor<T> right = b_.template AllocTensor<T>();
    if constexpr (SameType<T, int8_t>::value) {
      LoadSquares(right, tile, part);
    } else {
      LoadPart(right, tile, part, false);
    }
    b_.EnQue(right);
    return b_.template DeQue<T>();
  }
  __aicore__ inline AscendC::LocalTensor<T> LoadRight(const AscendC::LocalTensor<T>& tile, uint32_t depth,
                                                      uint32_t columns) {
    return LoadRight(tile, TilePart{depth, 0, depth, 0, columns});
  }

  // Right operand: the transpose of a part (its columns are the depth), or of all of a tile `columns` x `depth`.
  __aicore__ inline AscendC::LocalTensor<T> LoadRightOfTransposed(const AscendC::LocalTensor<T>& tile,
                                                                  const TilePart& part) {
    AscendC::LocalTensor<T> right = b_.template AllocTensor<T>();
    const uint32_t rowBlocks = CeilDiv(part.rows, FRACTAL);
    const uint32_t depthBlocks = CeilDiv(part.columns, C0);
    const uint32_t tileBlocks = CeilDiv(part.tileRows, FRACTAL);
    const uint32_t first = part.firstColumn / C0 * tileBlocks + part.firstRow / FRACTAL;
    // Fractals lie in the order of L0B: one copy where the part has all rows of the tile, else one per column.
    const uint32_t copies = rowBlocks == tileBlocks ? 1 : depthBlocks;
    AscendC::LoadData2DParams params;
    params.repeatTimes = static_cast<uint8_t>(rowBlocks * depthBlocks / copies);
    params.srcStride = 1;
    for (uint32_t copy = 0; copy < copies; ++copy) {
      AscendC::LoadData(right[copy * rowBlocks * FRACTAL_ELEMENTS],
                        tile[(first + copy * tileBlocks) * FRACTAL_ELEMENTS], params);
    }
    b_.EnQue(right);
    return b_.template DeQue<T>();
  }
  __aicore__ inline AscendC::LocalTensor<T> LoadRightOfTransposed(const AscendC::LocalTensor<T>& tile, uint32_t columns,
                                                                  uint32_t depth) {
    return LoadRightOfTransposed(tile, TilePart{columns, 0, columns, 0, depth});
  }
  // Columns of a right operand that is loaded for `columns`.
  __aicore__ inline static uint32_t RightColumns(uint32_t columns) {
    return SameType<T, int8_t>::value ? AlignUp(columns, C0) : columns;
  }
  __aicore__ inline void FreeRight(AscendC::LocalTensor<T>& right) { b_.FreeTensor(right); }

  __aicore__ inline AscendC::LocalTensor<Product> AllocScores() { return scores_.template AllocTensor<Product>(); }
  __aicore__ inline AscendC::LocalTensor<Product> AllocSum() { return sum_.template AllocTensor<Product>(); }

  // product (+)= left . right; the first of a sum starts from zero.
  __aicore__ inline static void Multiply(const AscendC::LocalTensor<Product>& product,
                                         const AscendC::LocalTensor<T>& left, const AscendC::LocalTensor<T>& right,
                                         uint32_t rows, uint32_t columns, uint32_t depth, bool first) {
    AscendC::MmadParams params;
    params.m = static_cast<uint16_t>(CubeRows(rows));
    params.n = static_cast<uint16_t>(columns);
    params.k = static_cast<uint16_t>(depth);
    params.cmatrixInitVal = first;
    // Operands of floats are loaded in steps of 16, two fractals of depth.
    params.kDirectionAlign = IS_FLOAT;
    if (!first && (rows / FRACTAL) * (columns / FRACTAL) < MIN_UNORDERED_FRACTALS) {
      AscendC::PipeBarrier<PIPE_M>();
    }
    AscendC::Mmad(product, left, right, params);
  }

  // Write a product and give its buffer back.
  __aicore__ inline void StoreScores(const AscendC::GlobalTensor<Product>& target,
                                     AscendC::LocalTensor<Product>& product, uint32_t rows, uint32_t columns,
                                     uint32_t pitch) {
    Store(scores_, target, product, rows, columns, pitch);
  }
  __aicore__ inline void StoreSum(const AscendC::GlobalTensor<Product>& target, AscendC::LocalTensor<Product>& product,
                                  uint32_t rows, uint32_t columns, uint32_t pitch) {
    Store(sum_, target, product, rows, columns, pitch);
  }

 private:
  using Wide = float;
  static constexpr uint32_t PER_WIDE = sizeof(Wide) / sizeof(T);
  using ProductQueue = AscendC::TQue<AscendC::TPosition::CO1, 1>;

  static constexpr bool IS_FLOAT = sizeof(T) == sizeof(float);
  static constexpr uint32_t C0 = BLOCK_BYTES / sizeof(T);               // columns of a fractal
  static constexpr uint32_t COLUMN_STEP = C0 > FRACTAL ? C0 : FRACTAL;  // columns that operands are loaded in
  static constexpr uint32_t FRACTAL_ELEMENTS = FRACTAL * C0;
  static constexpr uint32_t TILE_BYTES = CUBE_BLOCK * DEPTH * sizeof(T);
  static constexpr uint64_t MAX_COPY_PITCH = 65535;
  static constexpr uint32_t L1_TILES = 6;
  // Sums into fewer fractals than this outrun their own results.
  static constexpr uint32_t MIN_UNORDERED_FRACTALS = 10;

  __aicore__ inline void InitInputs(AscendC::TPipe& pipe, uint32_t l1Tiles, uint32_t l1TileBytes) {
    pipe.InitBuffer(l1_, static_cast<uint8_t>(l1Tiles), l1TileBytes);
    pipe.InitBuffer(a_, 2, TILE_BYTES);
    pipe.InitBuffer(b_, 2, TILE_BYTES);
    // Products leave as plain rows. Set once: the Fixpipe call sets it each time and drains the pipe for it.
    AscendC::SetFixpipeNz2ndFlag(1, 1, 1);
    // An earlier kernel may have left products of floats rounded.
    if constexpr (IS_FLOAT) AscendC::SetHF32Mode(false);
  }

  // Rows too far apart for one copy go one by one.
  template <typename E>
  __aicore__ inline static void CopyElements(const AscendC::LocalTensor<E>& target, uint32_t storedRows,
                                             const AscendC::GlobalTensor<E>& source, uint32_t rows, uint32_t columns,
                                             uint64_t pitch) {
    const uint32_t rowsPerCopy = pitch <= MAX_COPY_PITCH ? rows : 1;
    AscendC::Nd2NzParams params;
    params.ndNum = 1;
    params.nValue = static_cast<uint16_t>(rowsPerCopy);
    params.dValue = static_cast<uint16_t>(columns);
    params.srcNdMatrixStride = 0;
    params.srcDValue = static_cast<uint16_t>(pitch <= MAX_COPY_PITCH ? pitch : columns);
    params.dstNzC0Stride = static_cast<uint16_t>(storedRows);
    params.dstNzNStride = 1;
    params.dstNzMatrixStride = 0;
    for (uint32_t row = 0; row < rows; row += rowsPerCopy) {
      AscendC::DataCopy(target[row * BLOCK_BYTES / sizeof(E)], source[row * pitch], params);
    }
  }

  __aicore__ inline static uint32_t CubeRows(uint32_t rows) { return rows == 1 ? 2 : rows; }

  // The matrix in L1 as a feature map of one line: L0A takes it as it is or transposed, L0B as its fractals need it.
  __aicore__ inline static void LoadPart(const AscendC::LocalTensor<T>& operand, const AscendC::LocalTensor<T>& tile,
                                         const TilePart& part, bool transpose) {
    AscendC::LoadData3DParamsV2<T> params;
    params.l1H = 1;
    params.l1W = static_cast<uint16_t>(AlignUp(part.tileRows, FRACTAL));
    params.channelSize = static_cast<uint16_t>(part.firstColumn + AlignUp(part.columns, COLUMN_STEP));
    params.mStartPt = static_cast<uint16_t>(part.firstRow);
    params.mExtension = static_cast<uint16_t>(AlignUp(part.rows, FRACTAL));
    params.kStartPt = static_cast<uint16_t>(part.firstColumn);
    params.kExtension = static_cast<uint16_t>(AlignUp(part.columns, COLUMN_STEP));
    params.enTranspose = transpose;
    AscendC::LoadData(operand, tile, params);
  }

  // Squares of two fractals, each transposed.
  __aicore__ inline static void LoadSquares(const AscendC::LocalTensor<T>& operand, const AscendC::LocalTensor<T>& tile,
                                            const TilePart& part) {
    const uint32_t rowSquares = CeilDiv(part.tileRows, C0);
    const uint32_t columnSquares = CeilDiv(part.columns, C0);
    AscendC::LoadData2dTransposeParams params;
    params.repeatTimes = static_cast<uint8_t>(columnSquares);
    params.srcStride = static_cast<uint16_t>(rowSquares);
    params.dstGap = 1;
    for (uint32_t row = 0; row < CeilDiv(part.rows, C0); ++row) {
      AscendC::LoadDataWithTranspose(operand[row * columnSquares * 2 * FRACTAL_ELEMENTS],
                                     tile[(part.firstColumn / C0 * rowSquares + row) * 2 * FRACTAL_ELEMENTS], params);
    }
  }

  __aicore__ inline static void Store(ProductQueue& queue, const AscendC::GlobalTensor<Product>& target,
                                      AscendC::LocalTensor<Product>& product, uint32_t rows, uint32_t columns,
                                      uint32_t pitch) {
    queue.EnQue(product);
    AscendC::LocalTensor<Product> ready = queue.template DeQue<Product>();
    AscendC::DataCopyCO12DstParams params;
    params.nSize = static_cast<uint16_t>(columns);
    params.mSize = static_cast<uint16_t>(rows);
    params.srcStride = static_cast<uint16_t>(AlignUp(rows, FRACTAL));
    params.dstStride = pitch;
    params.nz2ndEn = true;
    AscendC::DataCopy(target, ready, params);
    queue.FreeTensor(ready);
  }

  __aicore__ inline static void ClearTile(const AscendC::LocalTensor<T>& tile, uint32_t rows, uint32_t columns) {
    AscendC::InitConstValueParams<int16_t> params;
    params.repeatTimes = 1;
    params.blockNum = static_cast<uint16_t>(CeilDiv(columns, C0) * AlignUp(rows, FRACTAL));
    params.dstGap = 0;
    params.initValue = 0;
    AscendC::InitConstValue(tile.template ReinterpretCast<int16_t>(), params);
    AscendC::PipeBarrier<PIPE_MTE2>();
  }

  L1Queue l1_;
  AscendC::TQue<AscendC::TPosition::A2, 1> a_;
  AscendC::TQue<AscendC::TPosition::B2, 1> b_;
  ProductQueue scores_;
  ProductQueue sum_;
};

}  // namespace npufa
