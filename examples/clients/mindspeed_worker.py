"""What a rank of mindspeed_ring.py does: MindSpeed's ring attention on its shard, errors of all ranks to a file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

TOKENS, BATCH, HEADS, WIDTH = 256, 2, 4, 64
TOLERANCE = 6e-3  # float16; outputs and gradients are about 1
SETTINGS: dict[str, dict[str, Any]] = {
    "causal": {},
    "causal, BNSD": {"bnsd": True},
    "causal, two key heads": {"kv_heads": 2},
    "causal, windows of two": {"window": True},
    "causal, half of the keys kept": {"cache": "half"},
    "causal, npu_ring_attention_update": {"fused": True},
    "not causal": {"causal": False},
    "not causal, BNSD, two key heads": {"causal": False, "bnsd": True, "kv_heads": 2},
}


def reference(query: Any, key: Any, value: Any, dy: Any, causal: bool) -> list[Any]:
    """Output and gradients in float64; tensors are (S, B, N, D)."""
    import torch

    leaves = [t.double().requires_grad_() for t in (query, key, value)]
    group = query.shape[2] // key.shape[2]
    keys, values = (t.repeat_interleave(group, 2) for t in leaves[1:])
    scores = torch.einsum("sbnd,tbnd->bnst", leaves[0], keys) * WIDTH**-0.5
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
    output = torch.einsum("bnst,tbnd->sbnd", scores.softmax(-1), values)
    output.backward(dy.double())
    return [output.detach(), *(t.grad for t in leaves)]


def parameters(causal: bool, bnsd: bool, window: bool, cache: str | None) -> dict[str, Any]:
    """What MindSpeed's ring wants to know of the ranks."""
    import torch.distributed as dist

    rank, ranks, group = dist.get_rank(), list(range(dist.get_world_size())), dist.group.WORLD
    inner, outer = (ranks, [rank]) if window else ([rank], ranks)
    settings = {"causal": causal, "cp_group": group, "cp_size": len(ranks), "rank": rank, "cp_global_ranks": ranks,
                "cp_group_for_send_recv_overlap": group, "pse": None, "pse_type": None, "cp_inner_ranks": inner,
                "cp_outer_ranks": outer, "cp_dkv_outer_ranks": outer, "cp_group_for_intra_window": group,
                "cp_group_for_intra_window_send_recv_overlap": group, "megatron_cp_in_bnsd": bnsd}
    return settings | ({"cache_policy": cache} if cache else {})


def shard(tensor: Any, causal: bool) -> Any:
    """This rank's rows: under a causal mask a piece from the front and one from the back."""
    import torch
    import torch.distributed as dist

    rank, size = dist.get_rank(), dist.get_world_size()
    if not causal:
        return tensor.chunk(size)[rank]
    pieces = tensor.chunk(2 * size)
    return torch.cat([pieces[rank], pieces[2 * size - 1 - rank]])


def errors(causal: bool = True, bnsd: bool = False, kv_heads: int = HEADS, window: bool = False,
           cache: str | None = None, fused: bool = False) -> dict[str, float]:
    """The largest error of output and gradients over all ranks."""
    import mindspeed.core.context_parallel.ring_context_parallel.ring_context_parallel as ring
    import torch
    import torch.distributed as dist
    from mindspeed.core.context_parallel import get_args

    get_args().use_fused_ring_attention_update = fused
    torch.manual_seed(7)
    whole = [torch.randn(TOKENS, BATCH, heads, WIDTH).half() for heads in (HEADS, kv_heads, kv_heads, HEADS)]
    expected = [shard(t, causal).flatten(2) for t in reference(*whole, causal)]
    query, key, value, dy = (shard(t, causal).flatten(2).npu() for t in whole)
    leaves = [t.requires_grad_() for t in (query, key, value)]
    output = ring.ringattn_context_parallel(*leaves, HEADS, parameters(causal, bnsd, window, cache),
                                            softmax_scale=WIDTH**-0.5, attn_mask=None)
    output.backward(dy)
    found = [output.detach(), *(t.grad for t in leaves)]
    worst = [(f.cpu().double() - e).abs().max() for f, e in zip(found, expected, strict=True)]
    over_ranks = torch.stack(worst).float().npu()
    dist.all_reduce(over_ranks, dist.ReduceOp.MAX)
    return dict(zip(("output", "dq", "dk", "dv"), over_ranks.tolist(), strict=True))


def main() -> None:
    import torch
    import torch.distributed as dist
    import torch_npu  # noqa: F401

    results, sys.argv = Path(sys.argv[1]), sys.argv[:1]  # MindSpeed reads the command line, too
    torch.npu.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("hccl")
    found = {name: errors(**setting) for name, setting in SETTINGS.items()}
    if dist.get_rank() == 0:
        results.write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
