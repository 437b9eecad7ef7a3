"""Section 4.2: float16 queries against an int8 cache, half the memory.

The guide passes scales of the fully quantised form (`dequant_scale1`, ...); a quantised cache under float queries takes
`antiquant_scale`, which the error of the guide's call says.
"""

from __future__ import annotations

import torch

import npufa
from npufa.quantization import QuantConfig, quantize_kv
from report import Report

HEADS, DIM, LENGTH = 8, 64, 100


def show(report: Report, device: str) -> None:
    query = torch.randn(1, 1, HEADS, DIM, dtype=torch.float16).to(device)
    key, value = (torch.randn(1, LENGTH, HEADS, DIM, dtype=torch.float16).to(device) for _ in range(2))
    settings = {"num_heads": HEADS, "input_layout": "BSND", "scale_value": DIM**-0.5}
    message = ""
    try:
        scale, offset = (torch.tensor([x], dtype=torch.float32, device=device) for x in (127.0, 0.0))
        npufa.npu_incre_flash_attention(query, key.to(torch.int8), value.to(torch.int8), dequant_scale1=scale / 127**2,
                                        quant_scale2=scale, quant_offset2=offset, **settings)
    except RuntimeError as error:
        message = str(error)
    report.say(f"  the guide's call: {message}")
    report.check("the guide's scales are refused by name", "scale" in message)

    quantised = quantize_kv(key, value, QuantConfig("int8", "token_head"), input_layout="BSND")
    expected = npufa.npu_incre_flash_attention(query, key, value, **settings)
    output, _ = npufa.npu_fused_infer_attention_score(
        query, **quantised.arguments(), num_heads=HEADS, input_layout="BSND", scale=DIM**-0.5)
    error = (output - expected).abs().max().item()
    report.check("the int8 cache gives the float16 result within its rounding", error < 0.02, f"difference {error:.1e}")
    saved = 1 - quantised.nbytes / quantised.nbytes_before
    report.check("about half the memory, scales included", saved > 0.45, f"{saved:.0%} less")
