"""Scripts of examples/clients, each in its own environment, with what docs/clients.md says of them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.clients
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("script", ["vllm_generate.py", "trainer.py", "diffusion.py"])
def test_client(script):
    done = subprocess.run([sys.executable, ROOT / "examples/clients" / script], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout[-10000:]
