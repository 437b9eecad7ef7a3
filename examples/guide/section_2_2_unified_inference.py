"""Section 2.2: prefill and decode through one call."""

from __future__ import annotations

import torch
from measuring import standard_attention

from npufa.engine import AttentionEngine
from report import Report


def show(report: Report, device: str) -> None:
    engine = AttentionEngine(num_heads=8, head_dim=64)
    key_cache, value_cache = (torch.randn(1, 1024, 8, 64, dtype=torch.float16).to(device) for _ in range(2))
    prefill_query = torch.randn(1, 64, 8, 64, dtype=torch.float16).to(device)
    prefill_out, prefill_lse = engine.unified_inference(prefill_query, key_cache[:, :64], value_cache[:, :64], 64)
    decode_query = torch.randn(1, 1, 8, 64, dtype=torch.float16).to(device)
    decode_out, decode_lse = engine.unified_inference(decode_query, key_cache, value_cache, 65)

    calls = (("prefill", prefill_out, prefill_query, 64), ("decode", decode_out, decode_query, 65))
    for name, output, query, length in calls:
        inputs = (x.cpu().float().transpose(1, 2) for x in (query, key_cache[:, :length], value_cache[:, :length]))
        error = (output.cpu().float().transpose(1, 2) - standard_attention(*inputs, engine.scale)).abs().max().item()
        report.check(f"{name} equals standard attention over {length} tokens", error < 4e-3,
                     f"largest difference {error:.1e}")
    report.check("log-sum-exp comes with it", prefill_lse.shape == (1, 8, 64, 1) and decode_lse.shape == (1, 8, 1, 1))

    message = ""
    try:  # the guide passes these tensors as BNSD
        engine(prefill_query, key_cache, value_cache, input_layout="BNSD")
    except ValueError as error:
        message = str(error)
    report.say(f"  {message}")
    report.check("the guide's layout BNSD for BSND tensors is refused", 'pass input_layout="BSND"' in message)
