"""transformers' Trainer with accelerate, as released: a small Llama on one and on two simulated chips, against the CPU.

One command makes an environment (torch with torch_npu, transformers, accelerate, npufa), trains there and prints what
it showed:

    python examples/clients/trainer.py

Four steps of packed batches with `flash_attention_2`, gradient checkpointing and bfloat16; on two chips by torchrun,
DistributedDataParallel and HCCL. The CPU trains the same batches with transformers' own eager attention.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from environment import Client, run_in_environment

CLIENT = Client(name="trainer", torch="2.13.0", requirements="trainer_requirements.txt",
                variables={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NPUFA_SIM_DEVICES": "2"})  # fmt: skip
WORKER = Path(__file__).with_name("trainer_worker.py")
TOLERANCE = 2e-3  # relative, of a loss: bfloat16 on both sides


def results(devices: int, *arguments: str) -> dict[str, Any]:
    """What the process of the first device wrote."""
    from trainer_worker import RESULTS

    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)] if devices > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *launcher, WORKER, f"--devices={devices}", *arguments, folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads((Path(folder) / RESULTS).read_text())


def main() -> None:
    from report import Report

    report = Report()
    expected = results(1, "--cpu")["losses"]
    print("losses on the CPU:", *(f"{loss:.4f}" for loss in expected), flush=True)
    for devices in 1, 2:
        found = results(devices, "--attention=flash_attention_2")
        near = [abs(loss - want) <= TOLERANCE * want for loss, want in zip(found["losses"], expected, strict=True)]
        report.equal(f"{devices} chip{'s' * (devices > 1)}: losses {' '.join(f'{x:.4f}' for x in found['losses'])}, "
                     f"within {TOLERANCE:g} of the CPU's", near, [True] * len(expected))  # fmt: skip
        kernels = ", ".join(f"{name} {count}" for name, count in sorted(found["kernels"].items()))
        print(f"kernels launched on the first chip: {kernels}; modelled time of them per step: {found['us']:.1f} us",
              flush=True)
    report.finish()


if __name__ == "__main__":
    run_in_environment(CLIENT, __file__)
    main()
