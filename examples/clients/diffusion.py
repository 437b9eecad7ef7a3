"""diffusers, as released: a small UNet and a small Flux transformer on the simulated chip, against float64 on the CPU.

One command makes an environment (torch with torch_npu, diffusers, npufa), runs there and prints what it showed:

    python examples/clients/diffusion.py

The UNet attends by torch's SDPA, Flux by the backends `native` (SDPA) and `flash` (flash_attn's functions); both are
npufa's kernels on the chip.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from environment import Client, run_in_environment

CLIENT = Client(name="diffusion", torch="2.13.0", requirements="diffusion_requirements.txt",
                variables={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"})  # fmt: skip
TOLERANCE = 0.02  # of the largest value: float16 through the whole model


def unet() -> tuple[Any, dict[str, Any]]:
    """A conditional UNet with attention on 32 x 32 and 16 x 16 positions, and the arguments of a step."""
    import torch
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(
        sample_size=32, block_out_channels=(64, 128), layers_per_block=1, cross_attention_dim=64, norm_num_groups=16,
        attention_head_dim=(1, 2), down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))  # fmt: skip
    step = {"sample": torch.randn(2, 4, 32, 32), "timestep": torch.tensor([10.0, 500.0]),
            "encoder_hidden_states": torch.randn(2, 17, 64)}
    return model, step


def flux() -> tuple[Any, dict[str, Any]]:
    """Two joint and two single blocks of Flux, and the arguments of a step."""
    import torch
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=64, num_attention_heads=4,
        joint_attention_dim=64, pooled_projection_dim=32, axes_dims_rope=(16, 24, 24))  # fmt: skip
    step = {"hidden_states": torch.randn(1, 144, 16), "encoder_hidden_states": torch.randn(1, 33, 64),
            "pooled_projections": torch.randn(1, 32), "timestep": torch.tensor([0.5]),
            "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(12.0), torch.arange(12.0)),
            "txt_ids": torch.zeros(33, 3)}
    return model, step


def show(report: Any, what: str, build: Callable[[], tuple[Any, dict[str, Any]]], backend: str | None = None) -> None:
    """One step of the model on CPU and chip."""
    import collections

    import torch

    from npufa import sim

    torch.manual_seed(0)
    model, step = build()
    step = {name: tensor.npu() for name, tensor in step.items()}

    def run(dtype: torch.dtype) -> Any:
        kept = ("img_ids", "txt_ids", "timestep")  # positions and times stay in float32, as pipelines have them
        tensors = {name: tensor if name in kept else tensor.to(dtype) for name, tensor in step.items()}
        return sim.profile(model.npu().to(dtype), **tensors, return_dict=False)

    with torch.no_grad():
        exact = run(torch.float64)  # which no kernel of the chip takes: torch computes it on the CPU
        report.equal(f"{what}: kernels under the reference", len(exact.kernels), 0)
        if backend is not None:
            model.set_attention_backend(backend)
        profile = run(torch.float16)
    found, expected = (result.result[0].cpu().double() for result in (profile, exact))
    error = (found - expected).abs().max().item() / expected.abs().max().item()
    report.equal(f"{what}: largest error {error:.4f} of the largest value, at most {TOLERANCE}",
                 error <= TOLERANCE, True)  # fmt: skip
    kernels = collections.Counter(kernel.name for kernel in profile.kernels)
    report.equal(f"{what}: attention on the chip's kernels", bool(kernels), True)
    counts = ", ".join(f"{name} {count}" for name, count in kernels.items())
    print(f"kernels launched: {counts}; modelled time of them: {profile.us:.1f} us", flush=True)


def main() -> None:
    from report import Report

    report = Report()
    show(report, "UNet", unet)
    show(report, "Flux, native", flux)
    show(report, "Flux, flash", flux, "flash")
    report.finish()


if __name__ == "__main__":
    run_in_environment(CLIENT, __file__)
    main()
