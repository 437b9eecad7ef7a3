"""python -m npufa run: scripts written for torch_npu, as they are."""

import os
import subprocess
import sys

# The single-operator call on torch_npu's page of npu_prompt_flash_attention, training and decode calls of a guide.
SCRIPT = '''
import math
import sys

import torch
import torch_npu
from torch_npu import npu_incre_flash_attention
import beside

q = torch.randn(1, 8, 164, 128, dtype=torch.float16).npu()
k = torch.randn(1, 8, 1024, 128, dtype=torch.float16).npu()
v = torch.randn(1, 8, 1024, 128, dtype=torch.float16).npu()
scale = 1/math.sqrt(128.0)
actseqlen = [164]
actseqlenkv = [1024]

out = torch_npu.npu_prompt_flash_attention(q, k, v,
actual_seq_lengths = actseqlen, actual_seq_lengths_kv = actseqlenkv,
num_heads = 8, input_layout = "BNSD", scale_value=scale, pre_tokens=65535, next_tokens=65535)
assert out.shape == torch.Size([1, 8, 164, 128]) and out.dtype == torch.float16 and out.device.type == "npu"
want = torch.nn.functional.scaled_dot_product_attention(q.cpu().float(), k.cpu().float(), v.cpu().float())
torch.testing.assert_close(out.cpu().float(), want, atol=2e-3, rtol=1e-2)

query, key, value = (torch.randn(1, 2, 128, 64, dtype=torch.float16).npu() for _ in range(3))
output, softmax_max, softmax_sum, _, _, _, _ = torch_npu.npu_fusion_attention(
    query, key, value, head_num=2, input_layout="BNSD", scale=1/math.sqrt(64), keep_prob=0.9, sparse_mode=3)
assert output.shape == query.shape

tokens = [torch.randn(50, 2, 64, dtype=torch.float16).npu() for _ in range(3)]
output, *_ = torch_npu.npu_fusion_attention(
    *tokens, head_num=2, input_layout="TND", scale=0.125, actual_seq_qlen=[10, 20, 15, 5],
    actual_seq_kvlen=[10, 20, 15, 5], sparse_mode=0)

step, lse = torch_npu.npu_fused_infer_attention_score(
    query[:, :, :1], key, value, num_heads=2, scale_value=0.125, input_layout="BNSD", actual_seq_lengths=[1],
    actual_seq_lengths_kv=[65], sparse_mode=3, pre_tokens=65535, next_tokens=0, softmax_lse_flag=True)
same = npu_incre_flash_attention(query[:, :, :1], key, value, num_heads=2, scale_value=0.125, input_layout="BNSD",
                                 actual_seq_lengths=[65])
torch.testing.assert_close(step, same)

from flash_attn_npu import flash_attn_func
same = flash_attn_func(*(t.transpose(1, 2) for t in (query[:, :, :1], key[:, :, :65], value[:, :, :65])))
torch.testing.assert_close(same, step.transpose(1, 2), atol=2e-3, rtol=1e-2)
print("arguments", sys.argv[1:], __name__, beside.NAME)
sys.exit(3)
'''


def run(*arguments, **environment):
    return subprocess.run([sys.executable, "-m", "npufa", "run", *arguments], capture_output=True, text=True,
                          env=os.environ | environment)


def test_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("NAME = 'its neighbour'\n")
    done = run("--no-check", str(script), "--soc", "mine", "last")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "arguments ['--soc', 'mine', 'last'] __main__ its neighbour"


def test_module_and_chip(tmp_path):
    (tmp_path / "tool.py").write_text(
        "import sys, torch, torch_npu, npufa.compat\n"
        "assert npufa.compat.installed()\n"
        "assert torch_npu.npu_fusion_attention is torch.ops.npufa.npu_fusion_attention\n"
        "print(sys.argv[1:], torch.npu.get_device_properties(0).cube_core_num, npufa.sim.status().check)\n")
    done = run("--soc", "Ascend910B1", "-m", "tool", "-x", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['-x'] 24 True"


def test_missing_script():
    done = run("no_such_script.py")
    assert done.returncode == 1
    assert done.stderr.strip() == "python -m npufa run: no_such_script.py is not a file"


def test_install_without_cann_names_the_simulator():
    code = ("import npufa.compat\n"
            "for call in (npufa.compat.install, npufa.compat.routes, npufa.compat.routed().__enter__):\n"
            "    try: call()\n"
            "    except ImportError as error: print(error)\n"
            "assert not npufa.compat.installed()\n"
            "npufa.compat.uninstall()\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and len(set(lines)) == 1
    assert lines[0].startswith("npufa.compat: torch_npu cannot be imported without CANN; call npufa.sim.enable() first")
