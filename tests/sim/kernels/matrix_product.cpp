// C = A B on one cube core, with every way to load the operands and to move the result out.
#include "kernel_operator.h"

using namespace AscendC;

struct ProductTiling {
  uint16_t m, n, k;
  uint8_t left;    // A is m x k by LoadData 2D (0) or 3D (1); k x m by 2D (2), LoadDataWithTranspose (3) or 3D (4)
  uint8_t right;   // B is n x k by LoadData 2D (0); k x n by 2D (1), LoadDataWithTranspose (2) or 3D (3)
  uint8_t rounds;  // K in this many parts, accumulated in L0C
  uint8_t bias;    // 0: none, 1: through the bias table, 2: half, converted on the way there
  uint8_t output;  // 0: rows in GM, 1: NZ in GM, 2: NZ through L1, 3: DataCopy from L0C
  uint8_t relu;
  uint8_t split;
  uint8_t atomic;
  uint8_t hf32;  // 1: to nearest even, 2: ties to zero
  uint8_t per_column;
  uint32_t quant;  // QuantMode_t
  uint32_t dst_stride;
  uint64_t scale;
};

constexpr uint32_t CeilDiv(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
constexpr uint32_t CeilAlign(uint32_t a, uint32_t b) { return CeilDiv(a, b) * b; }

template <HardEvent event>
void Order() {
  SetFlag<event>(EVENT_ID0);
  WaitFlag<event>(EVENT_ID0);
}

template <class In, class Acc, class Out>
class Product {
 public:
  static constexpr uint32_t kC0 = std::is_same_v<In, int4b_t> ? 64 : 32 / sizeof(In);
  static constexpr uint32_t kFractal = 16 * kC0;
  static constexpr uint32_t kSquare = kC0 > 16 ? kC0 : 16;  // rows of fractals that transposing loads put together
  static constexpr uint32_t kPack = std::is_same_v<In, int4b_t> ? 2 : 1;

  explicit Product(const ProductTiling& tiling) : t_(tiling) {
    pipe_.InitBuffer(a1_, 128 * 1024);
    pipe_.InitBuffer(b1_, 128 * 1024);
    pipe_.InitBuffer(extra1_, 128 * 1024);
    pipe_.InitBuffer(a2_, 64 * 1024);
    pipe_.InitBuffer(b2_, 64 * 1024);
    pipe_.InitBuffer(c_, 128 * 1024);
    pipe_.InitBuffer(table_, 1024);
    pipe_.InitBuffer(scales_, 2048);
  }

  void Run(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR out) {
    SetHF32Mode(t_.hf32 != 0);
    SetHF32TransMode(t_.hf32 == 2);
    if (t_.bias) LoadBias(bias);
    const uint32_t part = t_.k / t_.rounds;
    for (uint32_t round = 0; round < t_.rounds; ++round) Accumulate(a, b, round * part, part, round == 0);
    Order<HardEvent::M_FIX>();
    MoveOut(bias, out);
  }

 private:
  void Accumulate(GM_ADDR a, GM_ADDR b, uint32_t k_start, uint32_t k, bool first) {
    PipeBarrier<PIPE_ALL>();
    if (t_.left < 2) CopyIn(a1_.Get<In>(), a, k_start, t_.m, k, t_.k, 16);
    else CopyIn(a1_.Get<In>(), a, k_start * t_.m, k, t_.m, t_.m, kSquare);
    if (t_.right < 1) CopyIn(b1_.Get<In>(), b, k_start, t_.n, k, t_.k, 16);
    else CopyIn(b1_.Get<In>(), b, k_start * t_.n, k, t_.n, t_.n, kSquare);
    Order<HardEvent::MTE2_MTE1>();
    LoadLeft(k);
    LoadRight(k);
    Order<HardEvent::MTE1_M>();
    MmadParams params;
    params.m = t_.m;
    params.n = Columns();
    params.k = k;
    params.cmatrixInitVal = first && !t_.bias;
    params.kDirectionAlign = sizeof(In) == 4 && t_.left >= 2;
    if (t_.bias && first) {
      Mmad(c_.Get<Acc>(), a2_.Get<In>(), b2_.Get<In>(), table_.Get<Acc>(), params);
    } else {
      Mmad(c_.Get<Acc>(), a2_.Get<In>(), b2_.Get<In>(), params);
    }
    PipeBarrier<PIPE_M>();
  }

  // One-byte squares of B hold 32 columns.
  uint32_t Columns() const { return t_.right == 2 && kSquare > 16 ? CeilAlign(t_.n, kSquare) : t_.n; }

  // Rows and columns of a row-major matrix into NZ. Squares of fractals of float must be side by side.
  void CopyIn(LocalTensor<In> dst, GM_ADDR src, uint32_t start, uint32_t rows, uint32_t columns, uint32_t pitch,
              uint32_t row_align) {
    GlobalTensor<In> gm;
    gm.SetGlobalBuffer(reinterpret_cast<__gm__ In*>(src));
    Nd2NzParams params;
    params.ndNum = 1;
    params.nValue = rows;
    params.dValue = columns / kPack;
    params.srcDValue = pitch / kPack;
    params.dstNzC0Stride = CeilAlign(rows, row_align);
    params.dstNzNStride = 1;
    DataCopy(dst, gm[start], params);
  }

  void LoadLeft(uint32_t k) {
    const uint32_t m_fractals = CeilDiv(t_.m, 16), k_fractals = CeilDiv(k, kC0);
    if (t_.left == 0) {
      LoadData2DParams params;
      params.repeatTimes = k_fractals;
      params.srcStride = m_fractals;
      for (uint32_t i = 0; i < m_fractals; ++i) {
        LoadData(a2_.Get<In>()[i * k_fractals * kFractal], a1_.Get<In>()[i * kFractal], params);
      }
    } else if (t_.left == 1) {
      Load3D(a2_.Get<In>(), a1_.Get<In>(), CeilAlign(t_.m, 16), k_fractals * kC0, CeilAlign(t_.m, 16), false);
    } else if constexpr (sizeof(In) == 2) {
      if (t_.left == 2) {
        LoadData2DParams params;
        params.repeatTimes = k_fractals;
        params.srcStride = 1;
        params.ifTranspose = true;
        for (uint32_t i = 0; i < m_fractals; ++i) {
          LoadData(a2_.Get<In>()[i * k_fractals * kFractal], a1_.Get<In>()[i * k_fractals * kFractal], params);
        }
      } else if (t_.left == 3) {
        LoadData2dTransposeParams params;
        params.repeatTimes = k_fractals;
        params.srcStride = 1;
        for (uint32_t i = 0; i < m_fractals; ++i) {
          LoadDataWithTranspose(a2_.Get<In>()[i * k_fractals * kFractal], a1_.Get<In>()[i * k_fractals * kFractal],
                                params);
        }
      } else {
        Load3D(a2_.Get<In>(), a1_.Get<In>(), CeilAlign(k, 16), CeilAlign(t_.m, kC0), CeilAlign(k, 16), true);
      }
    } else if constexpr (sizeof(In) == 4) {
      Load3D(a2_.Get<In>(), a1_.Get<In>(), CeilAlign(k, 16), CeilAlign(t_.m, kC0), CeilAlign(k, 16), true);
    } else {
      LoadData2dTransposeParams params;  // squares of 32 x 32 bytes
      params.repeatTimes = CeilDiv(k, kC0);
      params.srcStride = 1;
      params.dstFracGap = k_fractals - 1;
      for (uint32_t i = 0; i < CeilDiv(t_.m, kC0); ++i) {
        LoadDataWithTranspose(a2_.Get<In>()[i * k_fractals * kFractal * 2],
                              a1_.Get<In>()[i * k_fractals * kFractal * 2], params);
      }
    }
  }

  void LoadRight(uint32_t k) {
    const uint32_t k_fractals = CeilDiv(k, kC0), n_fractals = CeilDiv(t_.n, 16);
    if (t_.right == 0) {
      LoadData2DParams params;
      params.repeatTimes = n_fractals;
      params.srcStride = 1;
      for (uint32_t i = 0; i < k_fractals; ++i) {
        LoadData(b2_.Get<In>()[i * n_fractals * kFractal], b1_.Get<In>()[i * n_fractals * kFractal], params);
      }
      return;
    }
    if constexpr (sizeof(In) == 2) {
      if (t_.right == 1) {
        LoadData2DParams params;
        params.repeatTimes = n_fractals;
        params.srcStride = k_fractals;
        params.ifTranspose = true;
        for (uint32_t i = 0; i < k_fractals; ++i) {
          LoadData(b2_.Get<In>()[i * n_fractals * kFractal], b1_.Get<In>()[i * kFractal], params);
        }
        return;
      }
    }
    if constexpr (sizeof(In) >= 2) {
      if (t_.right == 3) {
        Load3D(b2_.Get<In>(), b1_.Get<In>(), CeilAlign(k, 16), CeilAlign(t_.n, kC0), CeilAlign(k, 16), true);
        return;
      }
    }
    LoadData2dTransposeParams params;
    const uint32_t per_square = kSquare / 16, squares = CeilDiv(k, kSquare);
    params.repeatTimes = CeilDiv(t_.n, kC0);
    params.srcStride = squares;
    params.dstGap = per_square - 1;
    for (uint32_t i = 0; i < squares; ++i) {
      LoadDataWithTranspose(b2_.Get<In>()[i * CeilDiv(t_.n, kSquare) * kFractal * per_square],
                            b1_.Get<In>()[i * kFractal * per_square], params);
    }
  }

  static void Load3D(LocalTensor<In> dst, LocalTensor<In> src, uint32_t rows, uint32_t columns, uint32_t take,
                     bool transpose) {
    if constexpr (!std::is_same_v<In, int4b_t>) {
      LoadData3DParamsV2<In> params;
      params.l1H = 1;
      params.l1W = rows;
      params.channelSize = columns;
      params.kExtension = columns;
      params.mExtension = take;
      params.enTranspose = transpose;
      LoadData(dst, src, params);
    }
  }

  void LoadBias(GM_ADDR bias) {
    DataCopyParams params;
    if (t_.bias == 2) {
      if constexpr (std::is_same_v<Acc, float>) {
        GlobalTensor<half> gm;
        gm.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(bias));
        DataCopy(extra1_.Get<half>(), gm, CeilAlign(t_.n, 32));
        Order<HardEvent::MTE2_MTE1>();
        params.blockLen = CeilDiv(t_.n * 2, 64);
        DataCopy(table_.Get<float>(), extra1_.Get<half>(), params);
      }
    } else {
      GlobalTensor<Acc> gm;
      gm.SetGlobalBuffer(reinterpret_cast<__gm__ Acc*>(bias));
      DataCopy(extra1_.Get<Acc>(), gm, CeilAlign(t_.n, 16));
      Order<HardEvent::MTE2_MTE1>();
      params.blockLen = CeilDiv(t_.n * 4, 64);
      DataCopy(table_.Get<Acc>(), extra1_.Get<Acc>(), params);
    }
  }

  FixpipeParamsV220 OutputParams() const {
    FixpipeParamsV220 params;
    params.nSize = t_.n;
    params.mSize = t_.m;
    params.srcStride = CeilAlign(t_.m, 16);
    params.dstStride = t_.dst_stride;
    params.quantPre = static_cast<QuantMode_t>(t_.quant);
    params.deqScalar = t_.scale;
    params.reluEn = t_.relu;
    params.isChannelSplit = t_.split;
    return params;
  }

  void MoveOut(GM_ADDR scales, GM_ADDR out) {
    GlobalTensor<Out> gm;
    gm.SetGlobalBuffer(reinterpret_cast<__gm__ Out*>(out));
    const LocalTensor<Acc> c = c_.Get<Acc>();
    const LocalTensor<uint64_t> quant = extra1_.Get<uint64_t>();
    if (t_.per_column) {
      GlobalTensor<uint64_t> table;
      table.SetGlobalBuffer(reinterpret_cast<__gm__ uint64_t*>(scales));
      DataCopy(quant, table, CeilAlign(t_.n, 16));
      Order<HardEvent::MTE2_FIX>();
    }
    if (t_.atomic) {
      if constexpr (!std::is_same_v<Out, uint8_t>) SetAtomicAdd<Out>();
    }
    if (t_.output == 0) {
      if (t_.per_column) Fixpipe<Out, Acc, CFG_ROW_MAJOR>(gm, c, quant, OutputParams());
      else Fixpipe(gm, c, OutputParams());
    } else if (t_.output == 1) {
      if (t_.per_column) Fixpipe<Out, Acc, CFG_NZ>(gm, c, quant, OutputParams());
      else Fixpipe<Out, Acc, CFG_NZ>(gm, c, OutputParams());
    } else if (t_.output == 2) {
      const LocalTensor<Out> l1 = a1_.Get<Out>();
      PipeBarrier<PIPE_ALL>();
      InitConstValue(a1_.Get<half>(), InitConstValueParams<half>(1, 4095, 0, half(0)));
      PipeBarrier<PIPE_ALL>();
      Fixpipe<Out, Acc, CFG_NZ>(l1, c, OutputParams());
      PipeBarrier<PIPE_ALL>();
      DataCopy(gm, l1, CeilAlign(t_.m, 16) * CeilAlign(t_.n, 32));
    } else {
      DataCopyFromL0c(gm, c, quant);
    }
    SetAtomicNone();
  }

  void DataCopyFromL0c(GlobalTensor<Out> gm, LocalTensor<Acc> c, LocalTensor<uint64_t> quant) {
    const FixpipeParamsV220 from = OutputParams();
    DataCopyCO12DstParams params;
    params.nSize = from.nSize;
    params.mSize = from.mSize;
    params.srcStride = from.srcStride;
    params.dstStride = from.dstStride;
    params.quantPre = from.quantPre;
    params.reluPre = t_.relu;
    params.nz2ndEn = true;
    SetFixpipeNz2ndFlag(1, 1, 1);
    SetFixpipePreQuantFlag(t_.scale);
    if (t_.per_column) {
      DataCopy(scales_.Get<uint64_t>(), quant, CeilAlign(t_.n, 16));
      SetFixPipeConfig(scales_.Get<uint64_t>());
      PipeBarrier<PIPE_FIX>();
    }
    DataCopy(gm, c, params);
  }

  ProductTiling t_;
  TPipe pipe_;
  TBuf<TPosition::A1> a1_;
  TBuf<TPosition::B1> b1_;
  TBuf<TPosition::C1> extra1_;
  TBuf<TPosition::A2> a2_;
  TBuf<TPosition::B2> b2_;
  TBuf<TPosition::CO1> c_;
  TBuf<TPosition::C2> table_;
  TBuf<TPosition::C2PIPE2GM> scales_;
};

#define PRODUCT_KERNEL(name, in, acc, out)                                                             \
  extern "C" __global__ __aicore__ void product_##name(GM_ADDR a, GM_ADDR b, GM_ADDR extra, GM_ADDR c, \
                                                       GM_ADDR tiling_address) {                       \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);                                                    \
    GET_TILING_DATA_WITH_STRUCT(ProductTiling, tiling, tiling_address);                                \
    if ASCEND_IS_AIC {                                                                                 \
      Product<in, acc, out> product(tiling);                                                           \
      product.Run(a, b, extra, c);                                                                     \
    }                                                                                                  \
  }

PRODUCT_KERNEL(half_float, half, float, float)
PRODUCT_KERNEL(half_half, half, float, half)
PRODUCT_KERNEL(half_bfloat16, half, float, bfloat16_t)
PRODUCT_KERNEL(half_int8, half, float, int8_t)
PRODUCT_KERNEL(half_uint8, half, float, uint8_t)
PRODUCT_KERNEL(bfloat16_float, bfloat16_t, float, float)
PRODUCT_KERNEL(float_float, float, float, float)
PRODUCT_KERNEL(int8_int32, int8_t, int32_t, int32_t)
PRODUCT_KERNEL(int8_half, int8_t, int32_t, half)
PRODUCT_KERNEL(int8_int8, int8_t, int32_t, int8_t)
PRODUCT_KERNEL(int4_int32, int4b_t, int32_t, int32_t)
