"""Multi-head latent attention (MLA): keys and values of all heads from one compressed vector per token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..integrations._operators import MAX_INFERENCE_HEAD_DIM, attention
from ..integrations._rules import Band, Rules
from ..ops import npu_fused_infer_attention_score
from .cache import ContiguousCache
from .rotary import angles, positions_of, rotate


class MultiheadLatentAttention(nn.Module):
    """Causal attention whose cache holds `kv_lora_rank + qk_rope_head_dim` numbers per token.

    Training and prefill expand keys (D = qk_nope_head_dim + qk_rope_head_dim) and values of every head. Decoding
    absorbs the expansion into query and output instead: all heads attend to the compressed vectors, which are key and
    value at once, with the rotary part beside them (`query_rope`, `key_rope`). Both are the same function.

    Submodules have DeepSeek's names, so that weights of a DeepseekV2 or DeepseekV3 attention load.

    Args:
        embed_dim: E, channels of inputs and outputs.
        num_heads: N.
        kv_lora_rank: R, size of the compressed vectors; at most 512 for absorbed decoding.
        q_lora_rank: size of compressed queries; None projects queries directly.
        qk_nope_head_dim, qk_rope_head_dim: channels of query and key heads without and with rotary positions.
        v_head_dim: Dv, at most both of them together.
        bias: of the projections that DeepSeek's `attention_bias` gives one: q_a_proj, kv_a_proj_with_mqa, o_proj.
        dropout: probability in [0, 1) of dropping an element of the attention, in training.
        rope_theta: base of the rotary position embedding.
        rope_interleaved: rotated pairs are neighbours, as in DeepSeek's checkpoints, instead of halves.
        scale: factor of the scores, by default 1 / sqrt(D); YaRN multiplies it.
        eps: of the normalisations.

    Raises:
        ValueError: an illegal argument; the message names it.

    Source: DeepSeek-V2, arXiv 2405.04434, section 2.1.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        kv_lora_rank: int,
        q_lora_rank: int | None = None,
        qk_nope_head_dim: int,
        qk_rope_head_dim: int,
        v_head_dim: int,
        bias: bool = False,
        dropout: float = 0.0,
        rope_theta: float = 10000.0,
        rope_interleaved: bool = True,
        scale: float | None = None,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        head_dim = qk_nope_head_dim + qk_rope_head_dim
        sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "kv_lora_rank": kv_lora_rank,
                 "qk_nope_head_dim": qk_nope_head_dim, "qk_rope_head_dim": qk_rope_head_dim, "v_head_dim": v_head_dim}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"npufa.nn: {name} is too small, got {size}; expected at least 1")
        if qk_rope_head_dim % 2:
            raise ValueError(f"npufa.nn: qk_rope_head_dim is odd, got {qk_rope_head_dim}; expected an even one")
        if v_head_dim > head_dim:
            raise ValueError(f"npufa.nn: v_head_dim is too large, got {v_head_dim}; expected at most {head_dim}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"npufa.nn: dropout is no probability below 1, got {dropout}; expected 0 <= dropout < 1")
        self.embed_dim, self.num_heads, self.kv_lora_rank = embed_dim, num_heads, kv_lora_rank
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = qk_nope_head_dim, qk_rope_head_dim, v_head_dim
        self.dropout, self.rope_theta, self.rope_interleaved = dropout, rope_theta, rope_interleaved
        self.scale = head_dim**-0.5 if scale is None else scale

        def linear(inputs: int, outputs: int, with_bias: bool = False) -> nn.Linear:
            return nn.Linear(inputs, outputs, bias=with_bias, device=device, dtype=dtype)

        def norm(size: int) -> nn.RMSNorm:
            return nn.RMSNorm(size, eps=eps, device=device, dtype=dtype)

        self.q_lora_rank = q_lora_rank
        if q_lora_rank is None:
            self.q_proj = linear(embed_dim, num_heads * head_dim)
        else:
            self.q_a_proj = linear(embed_dim, q_lora_rank, bias)
            self.q_a_layernorm = norm(q_lora_rank)
            self.q_b_proj = linear(q_lora_rank, num_heads * head_dim)
        self.kv_a_proj_with_mqa = linear(embed_dim, kv_lora_rank + qk_rope_head_dim, bias)
        self.kv_a_layernorm = norm(kv_lora_rank)
        self.kv_b_proj = linear(kv_lora_rank, num_heads * (qk_nope_head_dim + v_head_dim))
        self.o_proj = linear(num_heads * v_head_dim, embed_dim, bias)

    def new_cache(self, batch_size: int, max_tokens: int, dtype: torch.dtype | None = None) -> ContiguousCache:
        """Returns an empty cache of compressed vectors and rotary keys, by default of the parameters' dtype."""
        weight = self.o_proj.weight
        return ContiguousCache(batch_size, max_tokens, [(1, self.kv_lora_rank), (1, self.qk_rope_head_dim)],
                               dtype or weight.dtype, weight.device)

    def forward(
        self, hidden_states: Tensor, *, positions: Tensor | None = None, cache: ContiguousCache | None = None,
        absorbed: bool | None = None
    ) -> Tensor:
        """Returns the output (B, S, E).

        Args:
            hidden_states: (B, S, E).
            positions: integral, (S,) or (B, S); by default they go on from the tokens of the cache.
            cache: of :meth:`new_cache`; the new tokens are appended and see all that is held. Inference only.
            absorbed: attend to the compressed vectors; by default where the cache holds earlier tokens. Inference only.
        """
        if hidden_states.dim() != 3 or hidden_states.shape[-1] != self.embed_dim:
            raise ValueError(f"npufa.nn: hidden_states has the wrong shape, got {[*hidden_states.shape]}; expected [B, "
                             f"S, {self.embed_dim}]")
        start = 0 if cache is None else cache.length
        if absorbed is None:
            absorbed = start > 0 and self.kv_lora_rank <= MAX_INFERENCE_HEAD_DIM
        if absorbed and (torch.is_grad_enabled() or (self.training and self.dropout > 0)):
            raise ValueError("npufa.nn: absorbed is for inference, got True with gradients or dropout; expected "
                             "torch.no_grad() and eval()")
        if absorbed and self.kv_lora_rank > MAX_INFERENCE_HEAD_DIM:
            raise ValueError(f"npufa.nn: absorbed is too wide, got kv_lora_rank {self.kv_lora_rank}; expected at most "
                             f"{MAX_INFERENCE_HEAD_DIM}")
        if positions is None:
            positions = positions_of(hidden_states.shape[1], start, None, hidden_states.device)
        turn = angles(positions if positions.dim() == 2 else positions[None], self.qk_rope_head_dim, self.rope_theta)
        nope, rope = self._queries(hidden_states, turn)
        latent, key_rope = self._latents(hidden_states, turn)
        if cache is not None:
            latent, key_rope = cache.append(latent, key_rope)
        attend = self._absorbed if absorbed else self._expanded
        return self.o_proj(attend(nope, rope, latent, key_rope).flatten(2))

    def _queries(self, hidden_states: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, S, N, Dnope), (B, S, N, Drope)"""
        if self.q_lora_rank is None:
            query = self.q_proj(hidden_states)
        else:
            query = self.q_b_proj(_normed(self.q_a_layernorm, self.q_a_proj(hidden_states)))
        sizes = [self.qk_nope_head_dim, self.qk_rope_head_dim]
        nope, rope = query.unflatten(-1, (self.num_heads, sum(sizes))).split(sizes, dim=-1)
        return nope, rotate(rope, *turn, interleaved=self.rope_interleaved)

    def _latents(self, hidden_states: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, S, 1, R), (B, S, 1, Drope), in one dtype under autocast too."""
        compressed = self.kv_a_proj_with_mqa(hidden_states).unsqueeze(2)
        latent, key_rope = compressed.split([self.kv_lora_rank, self.qk_rope_head_dim], dim=-1)
        key_rope = rotate(key_rope, *turn, interleaved=self.rope_interleaved)
        return _normed(self.kv_a_layernorm, latent).to(key_rope.dtype), key_rope

    def _expanded(self, nope: Tensor, rope: Tensor, latent: Tensor, key_rope: Tensor) -> Tensor:
        both = self.kv_b_proj(latent.squeeze(2)).unflatten(-1, (self.num_heads, -1))
        key, value = both.split([self.qk_nope_head_dim, self.v_head_dim], dim=-1)
        query = torch.cat([nope, rope], dim=-1).transpose(1, 2)
        key = torch.cat([key, key_rope.expand(-1, -1, self.num_heads, -1)], dim=-1).transpose(1, 2)
        band = Band(upper=key.shape[2] - query.shape[2])
        return attention(query, key, value.transpose(1, 2), Rules(band), scale=self.scale,
                         dropout=self.dropout if self.training else 0.0)

    def _absorbed(self, nope: Tensor, rope: Tensor, latent: Tensor, key_rope: Tensor) -> Tensor:
        weight = self.kv_b_proj.weight.to(nope.dtype).unflatten(0, (self.num_heads, -1))
        to_key, to_value = weight.split([self.qk_nope_head_dim, self.v_head_dim], dim=1)
        query = torch.einsum("bsnd,ndr->bnsr", nope, to_key)
        output, _ = npu_fused_infer_attention_score(
            query, *[latent.transpose(1, 2)] * 2, query_rope=rope.transpose(1, 2), key_rope=key_rope.transpose(1, 2),
            num_heads=self.num_heads, num_key_value_heads=1, scale=self.scale, input_layout="BNSD", sparse_mode=3)
        return torch.einsum("bnsr,nvr->bsnv", output, to_value)

    def extra_repr(self) -> str:
        return (f"num_heads={self.num_heads}, qk_nope_head_dim={self.qk_nope_head_dim}, "
                f"qk_rope_head_dim={self.qk_rope_head_dim}, v_head_dim={self.v_head_dim}, dropout={self.dropout}, "
                f"rope_theta={self.rope_theta}, scale={self.scale:.4g}")


def _normed(norm: nn.RMSNorm, tensor: Tensor) -> Tensor:
    """In the dtype of the weight, which autocast leaves alone."""
    return norm(tensor.to(norm.weight.dtype))
