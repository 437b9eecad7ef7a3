// Single forms of the cube's instructions, and statements that the chip does not allow.
#include "kernel_operator.h"

using namespace AscendC;

struct ShapeTiling {
  uint16_t m, n, k;
};

template <HardEvent event>
void Order() {
  SetFlag<event>(EVENT_ID0);
  WaitFlag<event>(EVENT_ID0);
}

constexpr uint32_t CeilAlign(uint32_t a, uint32_t b) { return (a + b - 1) / b * b; }

class Corner {
 public:
  explicit Corner(GM_ADDR in, GM_ADDR out) {
    pipe.InitBuffer(a1_, 64 * 1024);
    pipe.InitBuffer(a2_, 8 * 1024);
    pipe.InitBuffer(b2_, 8 * 1024);
    pipe.InitBuffer(c_, 64 * 1024);
    pipe.InitBuffer(table_, 1024);
    a1 = a1_.Get<half>();
    a2 = a2_.Get<half>();
    b2 = b2_.Get<half>();
    c = c_.Get<float>();
    table = table_.Get<float>();
    source.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(in));
    result.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  }

  // 64 x 64 of the input in L1 as NZ.
  void Fetch(uint32_t rows = 64) {
    Nd2NzParams params{1, static_cast<uint16_t>(rows), 64, 0, 64, 64, 1, 0};
    DataCopy(a1, source, params);
    Order<HardEvent::MTE2_MTE1>();
  }
  static LoadData3DParamsV2<half> Window(uint16_t rows, uint16_t columns) {
    LoadData3DParamsV2<half> params;
    params.l1H = 1;
    params.l1W = 64;
    params.channelSize = 64;
    params.mExtension = rows;
    params.kExtension = columns;
    return params;
  }
  // 64 x 64 of both operands.
  void Load() {
    LoadData(a2, a1, Window(64, 64));
    LoadData(b2, a1, Window(64, 64));
    Order<HardEvent::MTE1_M>();
  }
  void Multiply(uint16_t m, uint16_t n, uint16_t k, bool first = true, uint8_t unit_flag = 0) {
    MmadParams params;
    params.unitFlag = unit_flag;
    params.m = m;
    params.n = n;
    params.k = k;
    params.cmatrixInitVal = first;
    Mmad(c, a2, b2, params);
  }
  static FixpipeParamsV220 Rows(uint16_t m, uint16_t n) {
    return FixpipeParamsV220(n, m, static_cast<uint16_t>(CeilAlign(m, 16)), 16, false);
  }
  void MoveOut() { Fixpipe(result, c, Rows(16, 16)); }

  TPipe pipe;
  LocalTensor<half> a1, a2, b2;
  LocalTensor<float> c, table;
  GlobalTensor<half> source;
  GlobalTensor<float> result;

 private:
  TBuf<TPosition::A1> a1_;
  TBuf<TPosition::A2> a2_;
  TBuf<TPosition::B2> b2_;
  TBuf<TPosition::CO1> c_;
  TBuf<TPosition::C2> table_;
};

// A: 16 x 16 in GM, as a row of 256; B: n x k.
extern "C" __global__ __aicore__ void gemv(GM_ADDR a, GM_ADDR b, GM_ADDR out, GM_ADDR tiling_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GET_TILING_DATA_WITH_STRUCT(ShapeTiling, t, tiling_address);
  if ASCEND_IS_AIC {
    TPipe pipe;
    TBuf<TPosition::A1> a1, b1;
    TBuf<TPosition::A2> a2;
    TBuf<TPosition::B2> b2;
    TBuf<TPosition::CO1> c;
    pipe.InitBuffer(a1, 512);
    pipe.InitBuffer(b1, 64 * 1024);
    pipe.InitBuffer(a2, 512);
    pipe.InitBuffer(b2, 64 * 1024);
    pipe.InitBuffer(c, 64 * 1024);
    GlobalTensor<half> left, right;
    left.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a), 256);
    right.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b), t.n * t.k);
    const uint16_t n_rows = CeilAlign(t.n, 16);
    DataCopy(a1.Get<half>(), left, 256);
    DataCopy(b1.Get<half>(), right, Nd2NzParams(1, t.n, t.k, 0, t.k, n_rows, 1, 0));
    Order<HardEvent::MTE2_MTE1>();
    LoadData2DParams one;
    one.repeatTimes = 1;
    LoadData(a2.Get<half>(), a1.Get<half>(), one);
    LoadData2DParams all;
    all.repeatTimes = n_rows / 16 * (CeilAlign(t.k, 16) / 16);
    all.srcStride = 1;
    LoadData(b2.Get<half>(), b1.Get<half>(), all);
    Order<HardEvent::MTE1_M>();
    Mmad(c.Get<float>(), a2.Get<half>(), b2.Get<half>(), MmadParams(1, t.n, t.k, 0, false, true));
    Order<HardEvent::M_FIX>();
    GlobalTensor<float> result;
    result.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out), t.n);
    Fixpipe(result, c.Get<float>(), FixpipeParamsV220(t.n, 1, 16, t.n, false));
  }
}

// A 32 x 16 times B 16 x 16, once, twice and three times over into tiles 3 KiB apart.
extern "C" __global__ __aicore__ void several_matrices(GM_ADDR a, GM_ADDR b, GM_ADDR out, GM_ADDR) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC {
    Corner corner(a, out);
    GlobalTensor<half> right;
    right.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b));
    DataCopy(corner.a1, corner.source, Nd2NzParams(1, 32, 16, 0, 16, 32, 1, 0));
    DataCopy(corner.a1[1024], right, Nd2NzParams(1, 16, 16, 0, 16, 16, 1, 0));
    Order<HardEvent::MTE2_MTE1>();
    LoadData2DParams params;
    params.srcStride = 1;
    params.repeatTimes = 2;
    LoadData(corner.a2, corner.a1, params);
    params.repeatTimes = 1;
    LoadData(corner.b2, corner.a1[1024], params);
    Order<HardEvent::MTE1_M>();
    for (int matrix = 0; matrix < 3; ++matrix) {
      for (int times = 0; times <= matrix; ++times) {
        Mmad(corner.c[matrix * 768], corner.a2, corner.b2, MmadParams(32, 16, 16, 0, false, times == 0));
        PipeBarrier<PIPE_M>();
      }
    }
    Order<HardEvent::M_FIX>();
    FixpipeParamsV220 move(16, 32, 32, 20, false);
    move.ndNum = 3;
    move.srcNdStride = 3;
    move.dstNdStride = 640;
    Fixpipe(corner.result, corner.c, move);
  }
}

extern "C" __global__ __aicore__ void filled(GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC {
    Corner corner(out, out);
    InitConstValue(corner.a2, InitConstValueParams<half>(1, 1, 0, half(3)));
    InitConstValue(corner.a1, InitConstValueParams<half>(4, 4, 0, half(0.5)));
    Order<HardEvent::MTE2_MTE1>();
    LoadData2DParams params;
    params.repeatTimes = 1;
    LoadData(corner.b2, corner.a1, params);
    Order<HardEvent::MTE1_M>();
    corner.Multiply(16, 16, 16);
    Order<HardEvent::M_FIX>();
    corner.MoveOut();
  }
}

#define CORNER(name)                                                    \
  void Run_##name(Corner& corner);                                      \
  extern "C" __global__ __aicore__ void name(GM_ADDR in, GM_ADDR out) { \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);                     \
    if ASCEND_IS_AIC {                                                  \
      Corner corner(in, out);                                           \
      Run_##name(corner);                                               \
    }                                                                   \
  }                                                                     \
  void Run_##name(Corner& corner)

CORNER(mmad_too_large) {
  corner.Fetch();
  corner.Load();
  MmadParams params;
  params.m = 4096;
  params.n = params.k = 16;
  Mmad(corner.c, corner.a2, corner.b2, params);
}

CORNER(mmad_padding_read) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(13, 16, 16);
  Order<HardEvent::M_FIX>();
  corner.MoveOut();
}

CORNER(mmad_unwritten_left) {
  corner.Fetch(13);
  corner.Load();
  corner.Multiply(16, 16, 13);
  Order<HardEvent::M_FIX>();
  corner.MoveOut();
}

// Fractals of L0A column by column, where rows of fractals are expected.
CORNER(mmad_wrong_order) {
  corner.Fetch();
  LoadData2DParams params;
  params.repeatTimes = 2;
  params.srcStride = 1;
  LoadData(corner.a2, corner.a1, params);
  LoadData(corner.b2, corner.a1, Corner::Window(64, 64));
  Order<HardEvent::MTE1_M>();
  corner.Multiply(32, 16, 32);
  Order<HardEvent::M_FIX>();
  Fixpipe(corner.result, corner.c[256], Corner::Rows(16, 16));
}

CORNER(mmad_without_barrier) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(16, 16, 64);
  corner.Multiply(16, 16, 64, false);
}

CORNER(mmad_with_barrier) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(16, 16, 64);
  PipeBarrier<PIPE_M>();
  corner.Multiply(16, 16, 64, false);
  Order<HardEvent::M_FIX>();
  corner.MoveOut();
}

CORNER(mmad_large_without_barrier) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(64, 64, 64);
  corner.Multiply(64, 64, 64, false);
  Order<HardEvent::M_FIX>();
  FixpipeParamsV220 move = Corner::Rows(16, 16);
  move.srcStride = 64;
  Fixpipe(corner.result, corner.c, move);
}

CORNER(mmad_misaligned) {
  corner.Fetch();
  corner.Load();
  Mmad(corner.c[128], corner.a2, corner.b2, MmadParams(16, 16, 16, 0, false, true));
}

CORNER(load_misaligned) {
  corner.Fetch();
  LoadData2DParams params;
  params.repeatTimes = 1;
  LoadData(corner.a2[16], corner.a1, params);
}

CORNER(load_beyond) {
  corner.Fetch();
  LoadData2DParams params;
  params.repeatTimes = 17;
  params.srcStride = 0;
  LoadData(corner.a2, corner.a1, params);
}

CORNER(load_transposed_float) {
  corner.Fetch();
  LoadData2DParams params;
  params.repeatTimes = 1;
  params.ifTranspose = true;
  LoadData(corner.a2.ReinterpretCast<float>(), corner.a1.ReinterpretCast<float>(), params);
}

CORNER(load_window_beyond) {
  corner.Fetch();
  LoadData3DParamsV2<half> params = Corner::Window(48, 64);
  params.l1W = 40;
  LoadData(corner.a2, corner.a1, params);
}

CORNER(load_filter) {
  corner.Fetch();
  LoadData3DParamsV2<half> params = Corner::Window(16, 16);
  params.filterW = 3;
  LoadData(corner.a2, corner.a1, params);
}

void Product(Corner& corner) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(16, 16, 64);
  Order<HardEvent::M_FIX>();
}

CORNER(fixpipe_wrong_mode) {
  Product(corner);
  FixpipeParamsV220 move = Corner::Rows(16, 16);
  move.quantPre = F322F16;
  Fixpipe(corner.result, corner.c, move);
}

CORNER(fixpipe_overlapping_rows) {
  Product(corner);
  FixpipeParamsV220 move = Corner::Rows(16, 16);
  move.dstStride = 15;
  Fixpipe(corner.result, corner.c, move);
}

CORNER(fixpipe_beyond) {
  Product(corner);
  FixpipeParamsV220 move = Corner::Rows(16, 16);
  move.dstStride = 17;
  Fixpipe(corner.result, corner.c, move);
}

CORNER(fixpipe_without_flag) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(16, 16, 64);
  corner.MoveOut();
}

CORNER(fixpipe_odd_fractals) {
  Product(corner);
  Fixpipe<float, float, CFG_NZ>(corner.result, corner.c, Corner::Rows(16, 8));
}

CORNER(fixpipe_unit_flag) {
  corner.Fetch();
  corner.Load();
  corner.Multiply(16, 16, 64, true, 3);
  FixpipeParamsV220 move = Corner::Rows(16, 16);
  move.unitFlag = 3;
  Fixpipe(corner.result, corner.c, move);
}

CORNER(bias_two_blocks) {
  corner.Fetch();
  DataCopy(corner.table, corner.a1.ReinterpretCast<float>(), DataCopyParams(2, 1, 0, 0));
}

// Vector statements in a cube program do nothing, as with the toolkit's headers.
CORNER(ub_on_the_cube) {
  LocalTensor<float> ub(TPosition::VECCALC, 0, 64);
  DataCopy(ub, corner.result, 64);
  DataCopy(corner.result, ub, 64);
}

struct ProbeTiling {
  int32_t rows, columns;          // of the matrix in L0A or L0B
  int32_t map_rows, map_columns;  // of the matrix in L1
  int32_t m_start, k_start, m, k;
  int32_t repeat_stride, repeat_times, repeat_mode;
  int32_t transpose, right;
};

// A window of the input through L0A times the unit matrix, or the unit matrix times the window through L0B.
template <class T>
void ShowWindow(GM_ADDR in, GM_ADDR unit, GM_ADDR out, const ProbeTiling& t) {
  constexpr uint32_t c0 = 32 / sizeof(T);
  SetHF32Mode(false);
  TPipe pipe;
  TBuf<TPosition::A1> map, one;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::CO1> c;
  pipe.InitBuffer(map, 64 * 1024);
  pipe.InitBuffer(one, 64 * 1024);
  pipe.InitBuffer(a2, 32 * 1024);
  pipe.InitBuffer(b2, 32 * 1024);
  pipe.InitBuffer(c, 64 * 1024);
  GlobalTensor<T> map_gm, unit_gm;
  map_gm.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(in), t.map_rows * t.map_columns);
  unit_gm.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(unit), 64 * 64);
  DataCopy(map.Get<T>(), map_gm, Nd2NzParams(1, t.map_rows, t.map_columns, 0, t.map_columns, t.map_rows, 1, 0));
  DataCopy(one.Get<T>(), unit_gm, Nd2NzParams(1, 64, 64, 0, 64, 64, 1, 0));
  Order<HardEvent::MTE2_MTE1>();

  LoadData3DParamsV2<T> params;
  params.l1H = 1;
  params.l1W = 64;
  params.channelSize = 64;
  if (t.right) {
    params.mExtension = CeilAlign(t.rows, 16);
    params.kExtension = CeilAlign(t.rows, c0);
    LoadData(a2.Get<T>(), one.Get<T>(), params);
  } else {
    LoadData2DParams fractals;
    fractals.srcStride = 1;
    fractals.repeatTimes = CeilAlign(t.columns, 16) / 16;
    for (uint32_t i = 0; i < CeilAlign(t.columns, c0) / c0; ++i) {
      LoadData(b2.Get<T>()[i * fractals.repeatTimes * 16 * c0], one.Get<T>()[i * 64 * c0], fractals);
    }
  }
  params.l1W = t.map_rows;
  params.channelSize = t.map_columns;
  params.mStartPt = t.m_start;
  params.kStartPt = t.k_start;
  params.mExtension = t.m;
  params.kExtension = t.k;
  params.enTranspose = t.transpose;
  SetLoadDataRepeat({static_cast<uint16_t>(t.repeat_stride), static_cast<uint8_t>(t.repeat_times),
                     static_cast<uint8_t>(t.repeat_mode)});
  if (t.right) LoadData(b2.Get<T>(), map.Get<T>(), params);
  else LoadData(a2.Get<T>(), map.Get<T>(), params);
  Order<HardEvent::MTE1_M>();

  MmadParams product;
  product.m = t.rows;
  product.n = t.columns;
  product.k = t.right ? t.rows : t.columns;
  product.kDirectionAlign = sizeof(T) == 4 && t.transpose && !t.right;
  Mmad(c.Get<float>(), a2.Get<T>(), b2.Get<T>(), product);
  Order<HardEvent::M_FIX>();
  GlobalTensor<float> result;
  result.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out), t.rows * t.columns);
  Fixpipe(result, c.Get<float>(), FixpipeParamsV220(t.columns, t.rows, CeilAlign(t.rows, 16), t.columns, false));
}

#define WINDOW_KERNEL(name, type)                                                                               \
  extern "C" __global__ __aicore__ void window_##name(GM_ADDR in, GM_ADDR unit, GM_ADDR out, GM_ADDR address) { \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);                                                             \
    GET_TILING_DATA_WITH_STRUCT(ProbeTiling, tiling, address);                                                  \
    if ASCEND_IS_AIC                                                                                            \
      ShowWindow<type>(in, unit, out, tiling);                                                                  \
  }

WINDOW_KERNEL(half, half)
WINDOW_KERNEL(float, float)

struct FractalTiling {
  int32_t start, repeats, stride, gap, fractal_gap, falling, transpose, bytes;
};

// Fractals of the input in L0A by LoadData or LoadDataWithTranspose. L0A cannot be read back, so that it is laid out as
// one row of fractals and multiplied by the unit matrix, eight fractals of float or four of half at a time.
template <class T>
void ShowFractals(GM_ADDR in, GM_ADDR unit, GM_ADDR out, const FractalTiling& t) {
  constexpr uint32_t c0 = 32 / sizeof(T), columns = 64, rows = 16;
  constexpr uint32_t per_product = columns / c0;
  SetHF32Mode(false);
  TPipe pipe;
  TBuf<TPosition::A1> source, one;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::CO1> c;
  pipe.InitBuffer(source, 32 * 1024);
  pipe.InitBuffer(one, 16 * 1024);
  pipe.InitBuffer(a2, per_product * 2 * 512);
  pipe.InitBuffer(b2, 16 * 1024);
  pipe.InitBuffer(c, 64 * 1024);
  GlobalTensor<T> in_gm, unit_gm;
  in_gm.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(in), t.bytes / sizeof(T));
  unit_gm.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(unit), 64 * 64);
  InitConstValue(a2.Get<T>(), InitConstValueParams<T>(1, per_product * 2, 0, T(0)));
  PipeBarrier<PIPE_MTE1>();
  DataCopy(source.Get<T>(), in_gm, t.bytes / sizeof(T));
  DataCopy(one.Get<T>(), unit_gm, Nd2NzParams(1, 64, 64, 0, 64, 64, 1, 0));
  Order<HardEvent::MTE2_MTE1>();
  if (t.transpose == 2) {
    LoadDataWithTranspose(a2.Get<T>(), source.Get<T>(),
                          LoadData2dTransposeParams(t.start, t.repeats, t.stride, t.gap, t.fractal_gap, t.falling));
  } else {
    LoadData(a2.Get<T>(), source.Get<T>(), LoadData2DParams(t.start, t.repeats, t.stride, 0, t.gap, t.transpose, 0));
  }
  LoadData2DParams all(0, 64 / 16 * per_product, 1, 0, 0, false, 0);
  LoadData(b2.Get<T>(), one.Get<T>(), all);
  Order<HardEvent::MTE1_M>();
  GlobalTensor<float> result;
  result.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  for (int half = 0; half < 2; ++half) {
    Mmad(c.Get<float>()[half * rows * columns], a2.Get<T>()[half * per_product * rows * c0], b2.Get<T>(),
         MmadParams(rows, columns, columns, 0, false, true));
  }
  Order<HardEvent::M_FIX>();
  for (int half = 0; half < 2; ++half) {
    Fixpipe(result[half * columns], c.Get<float>()[half * rows * columns],
            FixpipeParamsV220(columns, rows, rows, 2 * columns, false));
  }
}

#define FRACTAL_KERNEL(name, type)                                                                                \
  extern "C" __global__ __aicore__ void fractals_##name(GM_ADDR in, GM_ADDR unit, GM_ADDR out, GM_ADDR address) { \
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);                                                               \
    GET_TILING_DATA_WITH_STRUCT(FractalTiling, tiling, address);                                                  \
    if ASCEND_IS_AIC                                                                                              \
      ShowFractals<type>(in, unit, out, tiling);                                                                  \
  }

FRACTAL_KERNEL(half, half)
FRACTAL_KERNEL(float, float)

// Fractals from GM to L1, and back as they lie there.
extern "C" __global__ __aicore__ void fractals_to_l1(GM_ADDR in, GM_ADDR out, GM_ADDR address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GET_TILING_DATA_WITH_STRUCT(FractalTiling, t, address);
  if ASCEND_IS_AIC {
    Corner corner(in, out);
    GlobalTensor<half> result;
    result.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(out));
    InitConstValue(corner.a1, InitConstValueParams<half>(1, 512, 0, half(0)));
    PipeBarrier<PIPE_MTE2>();
    LoadData(corner.a1, corner.source, LoadData2DParams(t.start, t.repeats, t.stride, 0, t.gap, false, t.falling));
    Order<HardEvent::MTE2_MTE3>();
    DataCopy(result, corner.a1, 8192);
  }
}
