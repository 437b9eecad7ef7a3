"""A toolkit among the include directories, and tiling structs that are defined for the host."""

import ctypes
import struct

import numpy as np
import pytest

from npufa import sim
from npufa.sim import Output

# A toolkit in small: its own basic layer must not be read, and its libraries refer to it by relative paths.
TOOLKIT = {
    "include/kernel_operator.h": "#error the toolkit's own",
    "include/basic_api/kernel_tensor.h":
        "#ifndef OWN_TENSOR_H\n#define OWN_TENSOR_H\n#error the toolkit's own\n#endif\n",
    "impl/basic_api/utils/kernel_utils_struct_norm_sort.h": """
        #ifndef OWN_STRUCTS_H
        #define OWN_STRUCTS_H
        namespace AscendC { struct ScaleParams { __aicore__ ScaleParams() {} float factor = 3; }; }
        #endif
    """,
    "include/adv_api/kernel_api.h": '#include "math/scale.h"\n',
    "include/adv_api/math/scale_tilingdata.h": """
        namespace optiling {
        BEGIN_TILING_DATA_DEF(ScaleTiling)
        TILING_DATA_FIELD_DEF(uint32_t, count);  // elements
        END_TILING_DATA_DEF;
        }
    """,
    "include/adv_api/math/scale.h": """
        #ifndef SCALE_H
        #define SCALE_H
        #include "kernel_tiling/kernel_tiling.h"
        #include "../../basic_api/kernel_tensor.h"
        namespace AscendC {
        template <class F>
        __aicore__ inline void Apply(F* f, const LocalTensor<float>& a, uint64_t mask[2]) {
          f(a, a, a, mask, 1, {1, 1, 1, 8, 8, 8});
        }
        __aicore__ inline void Double(const LocalTensor<float>& a, uint64_t mask[2]) {
          void (*add)(const LocalTensor<float>&, const LocalTensor<float>&, const LocalTensor<float>&, uint64_t*,
                      const uint8_t, const BinaryRepeatParams&) = Add<float>;
          Apply(add, a, mask);
        }
        __ASC_USE_RESERVED_UBUF__(3510, "text")
        __aicore__ inline __in_pipe__(V) __out_pipe__(V, S) void Scale(const LocalTensor<float>& x,
                                                                       const tiling::ScaleTiling& tiling) {
          LocalTensor<float> temporary;
          PopStackBuffer<float, TPosition::LCM>(temporary);
          Muls(temporary, x, ScaleParams().factor, tiling.count);
          PipeBarrier<PIPE_V>();
          uint64_t mask[2] = {0xff, 0};
          Double(temporary, mask);
          PipeBarrier<PIPE_V>();
          Adds(x, temporary, 0.0f, tiling.count);
        }
        }
        #endif
    """,
}

KERNEL = """
#include "kernel_operator.h"
using namespace AscendC;
__global__ __aicore__ void scaled(GM_ADDR x, GM_ADDR out, ScaleTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 256);
  LocalTensor<float> a = buffer.Get<float>();
  GlobalTensor<float> in, to;
  in.SetGlobalBuffer((__gm__ float*)x);
  to.SetGlobalBuffer((__gm__ float*)out);
  DataCopy(a, in, 64);
  PipeBarrier<PIPE_ALL>();
  Scale(a, tiling);
  PipeBarrier<PIPE_ALL>();
  DataCopy(to, a, 64);
}
"""


def test_libraries_of_a_toolkit(tmp_path):
    for name, text in TOOLKIT.items():
        path = tmp_path / "toolkit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source = tmp_path / "kernel.cpp"
    source.write_text(KERNEL)
    kernels = sim.compile_kernel(source, include=[tmp_path / "toolkit" / "include"], kernels=["scaled"])
    x, out = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    kernels.launch("scaled", [x, Output(out), ctypes.c_uint32(64)])
    np.testing.assert_array_equal(out, np.where(np.arange(64) < 8, 6 * x, 3 * x))


TILING = """
#include "register/tilingdata_base.h"
constexpr uint32_t LENGTHS = 3;
namespace optiling {
BEGIN_TILING_DATA_DEF(InnerTiling)
TILING_DATA_FIELD_DEF(uint16_t, small);
END_TILING_DATA_DEF;
BEGIN_TILING_DATA_DEF(SumTiling)
TILING_DATA_FIELD_DEF(int8_t, first);
TILING_DATA_FIELD_DEF_ARR(int64_t, LENGTHS, lengths);
TILING_DATA_FIELD_DEF_STRUCT(InnerTiling, inner);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(Sum, SumTiling)
}
"""


def test_tiling_structs_of_the_host(tmp_path):
    (tmp_path / "sum_tiling.h").write_text(TILING)
    source = tmp_path / "sum.cpp"
    source.write_text(
        '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void sum(GM_ADDR out, GM_ADDR tiling) {\n'
        "  GET_TILING_DATA(data, tiling);\n  const SumTiling* typed = &data;\n"
        "  AscendC::GlobalTensor<int64_t> gm;\n  gm.SetGlobalBuffer((__gm__ int64_t*)out);\n"
        "  gm.SetValue(0, typed->first + data.lengths[0] + data.lengths[2] + data.inner.small);\n}\n"
    )
    kernels = sim.compile_kernel(source, tiling=[tmp_path / "sum_tiling.h"])
    out = np.zeros(4, np.int64)
    kernels.launch("sum", [Output(out)], tiling=struct.pack("b7x3qH6x", -1, 100, 5, 7000, 60))
    assert out[0] == -1 + 100 + 7000 + 60
    with pytest.raises(ValueError, match="no BEGIN_TILING_DATA_DEF"):
        sim.compile_kernel(source, tiling=[source])
    with pytest.raises(sim.CompileError, match="RegisteredTilingData"):
        sim.compile_kernel(source)
