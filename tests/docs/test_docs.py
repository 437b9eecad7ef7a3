"""The Python blocks of the READMEs and of docs/ run as printed, a page's in one namespace; links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SIMULATED = "import npufa.sim; npufa.sim.enable()\n"
TINY_MODEL = """
import torch, transformers
from transformers import AutoModelForCausalLM
config = transformers.LlamaConfig(
    vocab_size=32, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
AutoModelForCausalLM.from_config(config).save_pretrained(path := "model")
tokens = torch.arange(8)[None]
"""
# Pages that need a process of their own, and what their readers have before the first block.
BEFORE = {
    "README.md": TINY_MODEL,
    "README.zh.md": TINY_MODEL,
    "docs/from_torch_npu.md": SIMULATED,
    "docs/graph_mode.md": SIMULATED,
    "docs/index.md": "",
    "docs/simulated_npu.md": "",
    "docs/zh/simulated_npu.md": "",
}
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def blocks(page: str) -> list[str]:
    """The blocks, each after as many empty lines as stand before it on the page: errors name the page's lines."""
    text = (ROOT / page).read_text()
    found = []
    for match in BLOCK.finditer(text):
        lines = (line.removeprefix(match[1]) for line in match[2].splitlines())
        found.append("\n" * text.count("\n", 0, match.start(2)) + "\n".join(lines) + "\n")
    return found


WITH_BLOCKS = [page for page in PAGES if blocks(page)]


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page not in BEFORE])
def test_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        exec(compile(block, ROOT / page, "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page in BEFORE])
def test_page_in_a_process(page: str, tmp_path: Path) -> None:
    parts = [BEFORE[page], *blocks(page)]
    script = f"for part in {parts!r}: exec(compile(part, {page!r}, 'exec'))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=110,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"})
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]


def test_blocks_are_found() -> None:
    assert "README.md" in WITH_BLOCKS and "docs/graph_mode.md" in WITH_BLOCKS
    assert blocks("docs/graph_mode.md")[0].lstrip().startswith("import torch, npufa")


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository(page: str) -> None:
    missing = [link for link in LINK.findall((ROOT / page).read_text())
               if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing
