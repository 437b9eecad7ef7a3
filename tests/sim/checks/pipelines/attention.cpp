// z = sum over i of relu(x y_i) y_i on core groups: the cube a step ahead of the vectors, scores and probabilities
// through two slots each in the workspace. x and z: 16 x 16 to a group, y: kSteps matrices of 16 x 16.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint16_t kSize = 16, kSteps = 5, kSlots = 2;
constexpr uint32_t kTile = kSize * kSize, kHalfTile = kTile / 2;
constexpr uint16_t kScoresReady = 0, kProbabilitiesReady = 1;

struct Workspace {
  GlobalTensor<float> scores;
  GlobalTensor<half> probabilities;

  explicit Workspace(GM_ADDR workspace) {
    constexpr uint32_t kScores = kSlots * kTile * sizeof(float), kProbabilities = kSlots * kTile * sizeof(half);
    const uint32_t group = g_coreType == AIC ? GetBlockIdx() : GetBlockIdx() / GetSubBlockNum();
    GM_ADDR mine = workspace + group * (kScores + kProbabilities);
    scores.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(mine), kSlots * kTile);
    probabilities.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(mine + kScores), kSlots * kTile);
  }
};

class Cube {
 public:
  Cube(GM_ADDR x, GM_ADDR y, GM_ADDR z, const Workspace& workspace) : workspace_(workspace) {
    x_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(x) + GetBlockIdx() * kTile, kTile);
    y_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(y), kSteps * kTile);
    z_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(z) + GetBlockIdx() * kTile, kTile);
    pipe_.InitBuffer(x1_buffer_, kTile * sizeof(half));
    pipe_.InitBuffer(a1_buffer_, kTile * sizeof(half));
    pipe_.InitBuffer(b1_buffer_, kTile * sizeof(half));
    pipe_.InitBuffer(a2_buffer_, kTile * sizeof(half));
    pipe_.InitBuffer(b2_buffer_, kTile * sizeof(half));
    pipe_.InitBuffer(c_buffer_, 2 * kTile * sizeof(float));
    x1_ = x1_buffer_.Get<half>();
    a1_ = a1_buffer_.Get<half>();
    b1_ = b1_buffer_.Get<half>();
    a2_ = a2_buffer_.Get<half>();
    b2_ = b2_buffer_.Get<half>();
    scores_ = c_buffer_.Get<float>();
    output_ = c_buffer_.Get<float>()[kTile];
  }

  void Run() {
    DataCopy(x1_, x_, kTile);
    SetFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3);
    SetFlag<HardEvent::FIX_M>(EVENT_ID0);
    for (uint32_t i = 0; i < kSteps + 1; ++i) {
      if (i < kSteps) Scores(i);
      if (i > 0) Output(i - 1);
    }
    WaitFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID3);
    WaitFlag<HardEvent::FIX_M>(EVENT_ID0);
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Fixpipe(z_, output_, FixpipeParamsV220(kSize, kSize, kSize, kSize, false));
  }

 private:
  void Scores(uint32_t i) {
    WaitFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    DataCopy(b1_, y_[i * kTile], kTile);
    Load(x1_);
    WaitFlag<HardEvent::FIX_M>(EVENT_ID0);
    Mmad(scores_, a2_, b2_, MmadParams(kSize, kSize, kSize, 0, false, true));
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3);
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Fixpipe(workspace_.scores[i % kSlots * kTile], scores_, FixpipeParamsV220(kSize, kSize, kSize, kSize, false));
    SetFlag<HardEvent::FIX_M>(EVENT_ID0);
    CrossCoreSetFlag<2, PIPE_FIX>(kScoresReady);
  }

  void Output(uint32_t i) {
    CrossCoreWaitFlag(kProbabilitiesReady);
    WaitFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    DataCopy(a1_, workspace_.probabilities[i % kSlots * kTile], kTile);
    DataCopy(b1_, y_[i * kTile], kTile);
    Load(a1_);
    Mmad(output_, a2_, b2_, MmadParams(kSize, kSize, kSize, 0, false, i == 0));
    PipeBarrier<PIPE_M>();  // survives delete: the next scores wait for a fixpipe that follows it
    SetFlag<HardEvent::M_MTE1>(EVENT_ID3);
  }

  void Load(const LocalTensor<half>& left) {
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID3);
    LoadData(a2_, left, LoadData2DParams(0, 1, 1, 0, 0, false, 0));
    LoadData(b2_, b1_, LoadData2DParams(0, 1, 1, 0, 0, true, 0));
    SetFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
  }

  TPipe pipe_;
  TBuf<TPosition::A1> x1_buffer_, a1_buffer_;
  TBuf<TPosition::B1> b1_buffer_;
  TBuf<TPosition::A2> a2_buffer_;
  TBuf<TPosition::B2> b2_buffer_;
  TBuf<TPosition::CO1> c_buffer_;
  LocalTensor<half> x1_, a1_, b1_, a2_, b2_;
  LocalTensor<float> scores_, output_;
  GlobalTensor<half> x_, y_;
  GlobalTensor<float> z_;
  Workspace workspace_;
};

class Vector {
 public:
  explicit Vector(const Workspace& workspace) : workspace_(workspace) {
    pipe_.InitBuffer(in_queue_, 2, kHalfTile * sizeof(float));
    pipe_.InitBuffer(out_queue_, 2, kHalfTile * sizeof(half));
    pipe_.InitBuffer(relu_, kHalfTile * sizeof(float));
  }

  void Run() {
    for (uint32_t i = 0; i < kSteps; ++i) {
      const uint32_t at = i % kSlots * kTile + GetSubBlockIdx() * kHalfTile;
      CrossCoreWaitFlag(kScoresReady);
      LocalTensor<float> in = in_queue_.AllocTensor<float>();
      DataCopy(in, workspace_.scores[at], kHalfTile);
      in_queue_.EnQue(in);
      in = in_queue_.DeQue<float>();
      const LocalTensor<float> relu = relu_.Get<float>();
      Relu(relu, in, kHalfTile);
      in_queue_.FreeTensor(in);
      PipeBarrier<PIPE_V>();
      LocalTensor<half> out = out_queue_.AllocTensor<half>();
      Cast(out, relu, RoundMode::CAST_NONE, kHalfTile);
      out_queue_.EnQue(out);
      out = out_queue_.DeQue<half>();
      DataCopy(workspace_.probabilities[at], out, kHalfTile);
      out_queue_.FreeTensor(out);
      CrossCoreSetFlag<2, PIPE_MTE3>(kProbabilitiesReady);
    }
  }

 private:
  TPipe pipe_;
  TQue<QuePosition::VECIN, 2> in_queue_;
  TQue<QuePosition::VECOUT, 2> out_queue_;
  TBuf<> relu_;
  Workspace workspace_;
};

__global__ __aicore__ void attention(GM_ADDR x, GM_ADDR y, GM_ADDR z, GM_ADDR workspace) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  if ASCEND_IS_AIC {
    Cube(x, y, z, Workspace(workspace)).Run();
  } else {
    Vector(Workspace(workspace)).Run();
  }
}
