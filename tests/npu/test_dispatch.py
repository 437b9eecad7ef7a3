"""Operators of npufa on NPU tensors: what reaches aclnn, and what a failure looks like."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import npufa
from cases.device import on_device
from npufa.doctor.package import expected_version
from npufa.sim._native import LIBRARY_DIR

HERE = Path(__file__).parent


def draw(*shape, dtype=torch.float16):
    return torch.randn(3, *shape).to(dtype).unbind()


@on_device
def test_prompt_flash_attention():
    for layout, shape in (("BNSD", (1, 2, 40, 64)), ("BSND", (2, 33, 4, 32)), ("BSH", (1, 17, 128))):
        arguments = {"num_heads": shape[1] if layout == "BNSD" else 4, "input_layout": layout, "scale_value": 0.125}
        for dtype, tolerance in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
            q, k, v = draw(*shape, dtype=dtype)
            found = npufa.npu_prompt_flash_attention(q.npu(), k.npu(), v.npu(), **arguments)
            assert found.device.type == "npu" and found.dtype == dtype
            expected = npufa.npu_prompt_flash_attention(q.float(), k.float(), v.float(), **arguments)
            torch.testing.assert_close(found.cpu().float(), expected, rtol=tolerance, atol=tolerance)


@on_device
def test_views_and_empty_tensors():
    q, k, v = (t.npu() for t in draw(1, 2, 32, 64))
    arguments = {"num_heads": 2, "input_layout": "BNSD", "scale_value": 0.125}
    expected = npufa.npu_prompt_flash_attention(q, k, v, **arguments)
    turned = q.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(npufa.npu_prompt_flash_attention(turned, k, v, **arguments), expected)
    wide = torch.cat([k, k], -1)[..., 64:]
    assert torch.equal(npufa.npu_prompt_flash_attention(q, wide, v, **arguments), expected)
    empty = npufa.npu_prompt_flash_attention(q[:0], k[:0], v[:0], **arguments)
    assert empty.shape == (0, 2, 32, 64) and empty.device.type == "npu"


@on_device
def test_captured():
    q, k, v = (t.npu() for t in draw(1, 2, 32, 64))
    arguments = {"num_heads": 2, "input_layout": "BNSD", "scale_value": 0.125}
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        out = npufa.npu_prompt_flash_attention(q, k, v, **arguments)
    q.copy_(torch.randn_like(q.cpu()))
    graph.replay()
    torch.npu.synchronize()
    assert torch.equal(out, npufa.npu_prompt_flash_attention(q, k, v, **arguments))


@on_device
def test_the_checks_of_every_backend_come_first():
    q, k, v = draw(1, 2, 8, 64)
    for arguments in ({"num_heads": 3}, {"num_heads": 2, "input_layout": "XYZ"}, {"num_heads": 2, "sparse_mode": 9}):
        arguments = {"input_layout": "BNSD"} | arguments
        messages = []
        for tensors in ((q, k, v), (q.npu(), k.npu(), v.npu())):
            with pytest.raises(RuntimeError) as error:
                npufa.npu_prompt_flash_attention(*tensors, **arguments)
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    with pytest.raises(RuntimeError, match='key is on another device than query, got "cpu"; expected npu:0'):
        npufa.npu_prompt_flash_attention(q.npu(), k, v.npu(), num_heads=2, input_layout="BNSD")


FUSED = {"num_heads": 2, "input_layout": "BNSD"}
PAGED = {
    "incre": (npufa.npu_incre_flash_attention, {**FUSED, "actual_seq_lengths": [16, 20]}),
    "fused_infer": (npufa.npu_fused_infer_attention_score,
                    {**FUSED, "actual_seq_lengths_kv": [16, 20], "sparse_mode": 3}),
    "lengths on the device": (npufa.npu_fused_infer_attention_score,
                              {**FUSED, "actual_seq_lengths_kv": torch.tensor([16, 20])}),
    "packed": (npufa.npu_fused_infer_attention_score_v2,
               {"num_query_heads": 2, "input_layout": "TND", "actual_seq_qlen": [1, 2], "actual_seq_kvlen": [16, 20]}),
}


@pytest.mark.parametrize("block", [-1, 4, 1000])
@pytest.mark.parametrize("name", PAGED)
@on_device
def test_a_block_id_beyond_the_cache_is_named_first(name, block):
    function, arguments = PAGED[name]
    query = torch.randn(2, 2, 64) if name == "packed" else torch.randn(2, 2, 1, 64)
    pool = torch.randn(4, 2, 16, 64)
    table = torch.tensor([[0, 7, 7], [1, block, 7]], dtype=torch.int32)  # 7: never read

    def call(device):
        moved = {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in arguments.items()}
        return function(query.half().to(device), pool.half().to(device), pool.half().to(device), block_size=16,
                        block_table=table.to(device), **moved)

    lines = []
    for device in ("cpu", "npu"):
        with pytest.raises(RuntimeError) as error:
            call(device)
        lines.append(str(error.value).splitlines())
    assert lines[0][0] == lines[1][0] == (f"npufa::{function.__name__}: block_table has a block id out of range at "
                                          f"[1, 1], got {block}; expected 0..3")
    assert "out-of-bounds" in "".join(lines[1][1:])
    table[1, 1] = 3
    torch.testing.assert_close(call("npu")[0].cpu(), call("cpu")[0], atol=2e-3, rtol=2e-3)


PACKAGE_CALLS = """
import os, npufa.sim, pytest, torch
npufa.sim.enable()
q, k = torch.zeros(1, 4, 8, 64).half().npu(), torch.zeros(1, 2, 16, 64).half().npu()
mask = torch.zeros(1, 8, 16, dtype=torch.bool).npu()
def call(scale):
    return npufa.npu_prompt_flash_attention(q, k, k, num_heads=4, num_key_value_heads=2, input_layout="BNSD",
        scale_value=scale, atten_mask=mask, actual_seq_lengths=[8], actual_seq_lengths_kv=[12], pre_tokens=100,
        next_tokens=7, sparse_mode=0)
for scale, message in ((1.5, "GetWorkspaceSize failed with status 161002"), (2.5, " failed with status 507015")):
    message = "npufa::npu_prompt_flash_attention: aclnnNpufaPromptFlashAttention" + message
    with pytest.raises(RuntimeError, match=message):
        call(scale)
    call(0.5)
torch.npu.synchronize()
assert torch.ones(2, device="npu").sum().item() == 2
print(open(os.environ["NPUFA_TEST_RECORD"]).read())
"""


def test_what_reaches_a_package(tmp_path):
    folder = tmp_path / "op_api/lib"
    folder.mkdir(parents=True)
    subprocess.run([os.environ.get("CXX", "g++"), "-std=c++17", "-shared", "-fPIC",
                    f'-DPACKAGE_VERSION="{expected_version()}"', "-o", folder / "libcust_opapi.so",
                    HERE / "package.cpp", "-L", LIBRARY_DIR, "-lnpufa_sim"], check=True)  # fmt: skip
    environment = os.environ | {"ASCEND_CUSTOM_OPP_PATH": str(tmp_path), "NPUFA_TEST_RECORD": str(tmp_path / "record"),
                                "LD_LIBRARY_PATH": str(LIBRARY_DIR)}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", PACKAGE_CALLS], capture_output=True, text=True, timeout=60,
                          env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == (
        "1x4x8x64 1x2x16x64 1x2x16x64 none 1x8x16 1 1 "
        "none none none none none none none 4 0.5 100 7 BNSD 2 0 0 0 1x4x8x64".split()
    )
