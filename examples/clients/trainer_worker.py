"""What a process of trainer.py does: a few steps of transformers' Trainer; losses and kernels to a file."""

from __future__ import annotations

import argparse
import collections
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS, SEQUENCES = 4, 4  # of an optimiser step, over all devices
RESULTS = "results.json"
LENGTHS = [33, 64, 17, 129, 5, 80, 48, 100]


def model() -> Any:
    """A small Llama with the same random weights every time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=128, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=64, pad_token_id=0)  # fmt: skip
    return LlamaForCausalLM(config)


def train(attention: str, devices: int, cpu: bool, folder: Path) -> dict[str, Any]:
    """Losses of the steps (packed batches, gradient checkpointing, bfloat16), and the kernels that ran on this chip."""
    import torch
    from transformers import DataCollatorWithFlattening, Trainer, TrainingArguments

    draw = torch.Generator().manual_seed(1)
    lengths = [LENGTHS[i % len(LENGTHS)] for i in range(STEPS * SEQUENCES)]
    data = [{"input_ids": torch.randint(1, 128, (length,), generator=draw).tolist()} for length in lengths]
    network = model()
    network.set_attn_implementation(attention)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=SEQUENCES // devices, learning_rate=1e-3,
        bf16=True, gradient_checkpointing=True, logging_steps=1, save_strategy="no", report_to="none", use_cpu=cpu,
        seed=0, disable_tqdm=True, dataloader_pin_memory=False)  # fmt: skip
    trainer = Trainer(network, arguments, train_dataset=data, data_collator=DataCollatorWithFlattening())
    kernels = _kernels(trainer.train, cpu)
    return {"losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], **kernels}


def _kernels(train: Callable[[], Any], cpu: bool) -> dict[str, Any]:
    """Trains; counts of kernels by name, and their modelled time per step."""
    if cpu:
        train()
        return {}
    from npufa import sim

    report = sim.profile(train)
    counts = collections.Counter(kernel.name for kernel in report.kernels)
    return {"kernels": dict(counts), "us": report.us / STEPS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attention", default="eager")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    results = train(arguments.attention, arguments.devices, arguments.cpu, arguments.folder)

    import torch.distributed as dist

    if not dist.is_initialized() or dist.get_rank() == 0:
        (arguments.folder / RESULTS).write_text(json.dumps(results))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
