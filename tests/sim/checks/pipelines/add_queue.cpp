// z = x + y on several cores, double-buffered by queues. Tiles of 128 floats, four to a core.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t kTile = 128, kTiles = 4;

class AddTiles {
 public:
  void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    const uint64_t mine = GetBlockIdx() * kTiles * kTile;
    x_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + mine, kTiles * kTile);
    y_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y) + mine, kTiles * kTile);
    z_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(z) + mine, kTiles * kTile);
    pipe_.InitBuffer(x_queue_, 2, kTile * sizeof(float));
    pipe_.InitBuffer(y_queue_, 2, kTile * sizeof(float));
    pipe_.InitBuffer(z_queue_, 2, kTile * sizeof(float));
    pipe_.InitBuffer(sum_, kTile * sizeof(float));
  }

  void Run() {
    for (uint32_t i = 0; i < kTiles; ++i) {
      Load(i);
      Compute();
      Store(i);
    }
  }

 private:
  void Load(uint32_t i) {
    LocalTensor<float> x = x_queue_.AllocTensor<float>();
    LocalTensor<float> y = y_queue_.AllocTensor<float>();
    DataCopy(x, x_[i * kTile], kTile);
    DataCopy(y, y_[i * kTile], kTile);
    x_queue_.EnQue(x);
    y_queue_.EnQue(y);
  }

  void Compute() {
    LocalTensor<float> x = x_queue_.DeQue<float>();
    LocalTensor<float> y = y_queue_.DeQue<float>();
    LocalTensor<float> z = z_queue_.AllocTensor<float>();
    LocalTensor<float> sum = sum_.Get<float>();
    Add(sum, x, y, kTile);
    PipeBarrier<PIPE_V>();
    Adds(z, sum, 1.0f, kTile);
    PipeBarrier<PIPE_V>();  // survives delete: the next writer of sum starts after its reader in the same pipe
    z_queue_.EnQue(z);
    x_queue_.FreeTensor(x);
    y_queue_.FreeTensor(y);
  }

  void Store(uint32_t i) {
    LocalTensor<float> z = z_queue_.DeQue<float>();
    DataCopy(z_[i * kTile], z, kTile);
    z_queue_.FreeTensor(z);
  }

  TPipe pipe_;
  TQue<QuePosition::VECIN, 2> x_queue_, y_queue_;
  TQue<QuePosition::VECOUT, 2> z_queue_;
  TBuf<> sum_;
  GlobalTensor<float> x_, y_, z_;
};

__global__ __aicore__ void add_queue(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  AddTiles kernel;
  kernel.Init(x, y, z);
  kernel.Run();
}
