"""MindSpeed's ring attention, from a checkout, on two simulated chips over HCCL, against float64.

MindSpeed is on no package index: give a checkout of it. One command makes an environment (torch with torch_npu,
megatron-core, npufa), runs there under torchrun and prints what it showed:

    python examples/clients/mindspeed_ring.py --mindspeed ~/MindSpeed
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import Client, run_in_environment

CLIENT = Client(name="mindspeed", torch="2.13.0", requirements="mindspeed_requirements.txt",
                variables={"OMP_NUM_THREADS": "1", "NPUFA_SIM_DEVICES": "2"})  # fmt: skip
WORKER = Path(__file__).with_name("mindspeed_worker.py")


def main() -> None:
    from mindspeed_worker import TOLERANCE

    from report import Report

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mindspeed", type=Path, required=True, help="a checkout: the folder with mindspeed/ in it")
    checkout = parser.parse_args().mindspeed.resolve()
    if not (checkout / "mindspeed").is_dir():
        parser.error(f"{checkout} has no folder mindspeed; expected a checkout of MindSpeed")
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        paths = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
        subprocess.run([*torchrun, WORKER, results], check=True, env=os.environ | {"PYTHONPATH": paths})
        for name, errors in json.loads(results.read_text()).items():
            shown = ", ".join(f"{what} {error:.1e}" for what, error in errors.items())
            report.equal(f"{name}: largest errors {shown}, at most {TOLERANCE:g}",
                         max(errors.values()) <= TOLERANCE, True)  # fmt: skip
    report.finish()


if __name__ == "__main__":
    run_in_environment(CLIENT, __file__)
    main()
