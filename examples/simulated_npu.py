"""Part 3 of the quickstart: prefill, training and decode on the simulated chip, a profile, and a caught kernel bug."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch

import npufa
import npufa.sim
from report import Report

HEADS, SEQ, DIM = 8, 1024, 128

# Two instructions of different pipes on one buffer with nothing between them.
BROKEN_KERNEL = """
#include "kernel_operator.h"
using namespace AscendC;

extern "C" __global__ __aicore__ void doubled(GM_ADDR x, GM_ADDR y) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  TBuf<TPosition::VECCALC> buffer;
  pipe.InitBuffer(buffer, 256);
  GlobalTensor<float> source, target;
  source.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x), 64);
  target.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y), 64);
  LocalTensor<float> tile = buffer.Get<float>();
  DataCopy(tile, source, 64);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  Muls(tile, tile, 2.0f, 64);
  DataCopy(target, tile, 64);
}
"""


def show_simulated_prefill(report: Report) -> None:
    """Prefill on the simulated chip against the CPU, and the modelled profile."""
    report.part("3a. A simulated NPU under the genuine torch_npu: prefill, causal, float16, BNSD")
    query, key, value = (torch.randn(1, HEADS, SEQ, DIM).half() for _ in range(3))
    settings = {
        "num_heads": HEADS,
        "input_layout": "BNSD",
        "scale_value": 1.0 / math.sqrt(DIM),
        "sparse_mode": 3,
    }
    expected = npufa.npu_prompt_flash_attention(query, key, value, **settings)
    on_chip = [x.npu() for x in (query, key, value)]
    profile = npufa.sim.profile(npufa.npu_prompt_flash_attention, *on_chip, **settings)
    output = profile.result
    report.say(f"  {torch.npu.get_device_name(0)} (simulated): output {tuple(output.shape)} on {output.device}")
    error = (output.cpu().float() - expected.float()).abs().max().item()
    report.check("the kernel agrees with the CPU operator", error <= 2e-3, f"largest difference {error:.1e}")
    report.say(f"\n{profile}")


def show_simulated_training(report: Report) -> None:
    """A training step with dropout: the same mask and the same gradients as on the CPU."""
    report.part("3b. Training on the simulated NPU: packed sequences (TND), causal, dropout 0.1, bfloat16")
    lengths = [100, 164, 321]
    results = []
    for device in ("cpu", "npu"):
        torch.manual_seed(0)
        leaves = [torch.randn(lengths[-1], HEADS, 64).bfloat16() for _ in range(3)]
        leaves = [x.to(device).requires_grad_() for x in leaves]
        output = npufa.npu_fusion_attention(
            *leaves, HEADS, "TND", scale=0.125, keep_prob=0.9, seed=7, sparse_mode=3,
            actual_seq_qlen=lengths, actual_seq_kvlen=lengths)[0]  # fmt: skip
        output.backward(torch.ones_like(output))
        results.append([output.detach(), *(x.grad for x in leaves)])
    error = max((a - b.cpu()).float().abs().max().item() / a.float().abs().max().item() for a, b in zip(*results))
    report.check("output and gradients agree with the CPU", error <= 2e-2, f"largest relative difference {error:.1e}")


def show_simulated_decode(report: Report) -> None:
    """One token per sequence against a paged int8 cache."""
    report.part("3c. Decode on the simulated NPU: grouped heads, paged int8 cache, float16")
    blocks, block_size, kv_heads = 24, 128, 2
    query = torch.randn(4, 1, HEADS * DIM).half()
    key, value = (torch.randint(-128, 128, (blocks, block_size, kv_heads * DIM), dtype=torch.int8) for _ in range(2))
    settings = {
        "num_heads": HEADS,
        "num_key_value_heads": kv_heads,
        "input_layout": "BSH",
        "scale_value": DIM**-0.5,
        "actual_seq_lengths": [700, 1, 129, 512],
        "block_size": block_size,
    }
    tensors = {
        "antiquant_scale": (torch.rand(2, kv_heads, 1, DIM) / 64).half(),
        "block_table": torch.randperm(blocks).int().view(4, -1),
    }
    expected = npufa.npu_incre_flash_attention(query, key, value, **settings, **tensors)
    on_chip = {name: tensor.npu() for name, tensor in tensors.items()}
    output = npufa.npu_incre_flash_attention(query.npu(), key.npu(), value.npu(), **settings, **on_chip)
    error = (output.cpu().float() - expected.float()).abs().max().item()
    report.check("decode agrees with the CPU operator", error <= 2e-3, f"largest difference {error:.1e}")


def show_caught_bug(report: Report) -> None:
    """A data race that would sometimes go unnoticed on hardware."""
    report.part("3d. A kernel without the flag between its vector instruction and the copy out")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "doubled.cpp"
        source.write_text(BROKEN_KERNEL)
        kernels = npufa.sim.compile_kernel(source, directory=folder)
        x, y = torch.arange(64.0), torch.zeros(64)
        try:
            kernels.launch("doubled", [x, npufa.sim.Output(y)])
        except npufa.sim.KernelError as error:
            report.say("  " + str(error).replace(f"{folder}/", ""))
            report.check("the simulator names the race", [f.check for f in error.findings] == ["race"])
        else:
            report.check("the simulator names the race", False, "nothing found")
