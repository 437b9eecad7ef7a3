"""torchair on the simulated chip, which has no graph engine: what is said, written and run; npufa's registration."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from cases.device import on_device
from graph.ge import Graph, captured, compiled, needs_torchair

pytestmark = needs_torchair

ROOT = Path(__file__).resolve().parents[2]
PAGES = "NPUFA_TORCH_NPU_PAGES"  # folder with the operators' pages of torch_npu's documentation
SAID = "there is no graph engine on the simulated chip"


def run(folder, *command):
    result = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


def write(folder, text):
    (folder / "script.py").write_text(textwrap.dedent(text))
    return "script.py"


# What a user of torch_npu writes; `npufa run` puts the simulator and npufa's operators under it.
SCRIPT = """
    import torch
    import torch_npu
    import torchair
    from torchair.configs.compiler_config import CompilerConfig

    config = CompilerConfig()
    config.debug.graph_dump.type = "pbtxt"
    query, key, value = (torch.randn(1, 2, n, 32, dtype=torch.float16).npu() for n in (20, 40, 40))

    class Model(torch.nn.Module):
        def forward(self):
            return torch_npu.npu_prompt_flash_attention(query, key, value, num_heads=2, input_layout="BNSD",
                                                        next_tokens=65535)

    backend = torchair.get_npu_backend(compiler_config=config)
    for dynamic in (False, True):
        torch._dynamo.reset()
        output = torch.compile(Model(), backend=backend, dynamic=dynamic, fullgraph=True)()
        assert output.device.type == "npu" and torch.equal(output, Model()())
    print("done")
"""


def test_script_of_torch_npu(tmp_path):
    """Tensors that are constants of the model; the dump; one line; a clean end of the process."""
    result = run(tmp_path, "-m", "npufa", "run", "--no-check", write(tmp_path, SCRIPT))
    assert result.stdout.splitlines()[-1] == "done"
    assert result.stderr.count(SAID) == 1
    original, optimized = (sorted(tmp_path.glob(f"dynamo_{kind}_graph_*.pbtxt")) for kind in ("original", "optimized"))
    assert len(original) == len(optimized) == 2
    assert all('op: "NpufaPromptFlashAttention"' in path.read_text() for path in optimized)


def code_blocks(page):
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in blocks]


@pytest.mark.skipif(PAGES not in os.environ, reason=f"{PAGES} names no folder with torch_npu's pages")
@pytest.mark.slow(group="programs")
def test_samples_of_the_prompt_attention_page(tmp_path):
    single, graph = code_blocks((Path(os.environ[PAGES]) / "npu_prompt_flash_attention.md").read_text())
    session = [line[4:] for line in single.splitlines() if line.startswith((">>> ", "... "))]
    assert "torch.Size([1, 8, 164, 128])" in single
    run(tmp_path, "-m", "npufa", "run", "--no-check",
        write(tmp_path, "\n".join([*session, "assert out.shape == (1, 8, 164, 128) and out.dtype == torch.float16"])))
    source = graph[: graph.index("\nsingle op output with mask: tensor")]  # what the page shows as printed
    printed = run(tmp_path, "-m", "npufa", "run", "--no-check", write(tmp_path, source)).stdout
    eager, graphed = (printed.split(f"{kind} output with mask: ")[1].partition("torch.Size")[0]
                      for kind in ("single op", "graph"))
    assert "tensor" in eager and eager == graphed
    assert list(tmp_path.glob("dynamo_optimized_graph_*.pbtxt"))


@pytest.mark.slow(group="programs")
def test_example(tmp_path):
    assert "checks passed" in run(tmp_path, str(ROOT / "examples" / "graph_mode.py")).stdout


@on_device
def test_documented_code():
    torch._dynamo.reset()
    (code,) = code_blocks((ROOT / "docs" / "graph_mode.md").read_text())
    names = {}
    exec(code, names)
    assert names["output"].shape == (1, 8, 64, 128)


def test_callback_after_import(tmp_path):
    """For a module that is imported later, for one that is there, and not for another name of the same one.

    And `import npufa` itself imports no compiler.
    """
    (tmp_path / "early.py").write_text("value = 1\n")
    (tmp_path / "late.py").write_text("value = 2\n")
    run(tmp_path, "-c", textwrap.dedent("""
        import sys
        sys.path.insert(0, "")
        from npufa.graph._on_import import on_import
        assert not {"torchair", "torch_npu", "torch._dynamo"} & set(sys.modules)
        import early
        sys.modules["alias"] = early

        class StandIn:
            def __getattr__(self, name):
                raise AssertionError(name)

        sys.modules["stand_in"] = StandIn()
        seen = []
        for name in ("early", "alias", "stand_in", "late", "late"):
            on_import(name, lambda module, name=name: seen.append((name, module.value)))
        assert seen == [("early", 1)], seen
        import late
        assert seen[1:] == [("late", 2)] * 2, seen
        assert late.__loader__.get_source("late") == "value = 2\\n"
    """))


@on_device
def test_operators_have_converters_once_torchair_is_imported():
    import torchair  # noqa: F401

    from npufa.graph.mappings import MAPPINGS

    for name in MAPPINGS:
        packet = getattr(torch.ops.npufa, name)
        for overload in packet.overloads():
            assert hasattr(getattr(packet, overload), "_ge_converter") == (overload != "out"), (name, overload)


@on_device
def test_a_converter_knows_where_every_argument_goes():
    from npufa.graph.converters import _target
    from npufa.graph.mappings import MAPPINGS
    from npufa.graph.op_defs import op_defs

    argument = torch.ops.npufa.npu_advance_step_flashattn.default._schema.arguments[0]
    mapping = MAPPINGS["npu_prompt_flash_attention"]
    with pytest.raises(NotImplementedError, match=f"has no input or attribute .* got {argument.name}; expected one"):
        _target(op_defs()[mapping.op_type], mapping, argument)


@on_device
def test_errors_of_the_conversion_surface():
    """An operator that torchair has no converter for."""

    @torch.library.custom_op("npufa_test::doubled_values", mutates_args=())
    def doubled_values(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    doubled_values.register_fake(torch.empty_like)
    message = "npufa.sim: DoubledValues is not known as an operator of graphs"
    with torch.no_grad(), pytest.raises(Exception, match=message):
        compiled(lambda x: doubled_values(x) + 1)(torch.randn(4).npu())


@on_device
def test_given_outputs_are_written():
    def model(query, out, lse):
        torch.ops.npufa.npu_fused_infer_attention_score.out(query, query, query, num_heads=2, out=[out, lse])
        return out + 1

    query = torch.randn(1, 4, 16).half().npu()
    results = []
    for function in (model, compiled(model)):
        out = torch.zeros_like(query)
        with torch.no_grad():
            results.append((function(query, out, torch.empty(0).npu()), out))
    assert results[0][1].abs().max() > 0
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@on_device
def test_strided_arguments_that_change():
    """The engine's contiguous copy of a tensor that the graph changes is written back."""
    import npufa

    def model(state, query):
        state.add_(npufa.npu_prompt_flash_attention(query, query, query, num_heads=2, input_layout="BSH"))
        return state * 2

    query = torch.randn(1, 4, 16).half().npu()
    results = []
    for function in (model, compiled(model)):
        state = torch.zeros(1, 16, 4).half().npu().transpose(1, 2)
        with torch.no_grad():
            results.append((function(state, query), state))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@on_device
def test_export(tmp_path):
    """dynamo_export writes the graph as torchair made it."""
    import torchair
    from torchair._ge_concrete_graph.ge_ir_pb2 import ModelDef

    import npufa

    class Model(torch.nn.Module):
        def forward(self, query):
            return npufa.npu_prompt_flash_attention(query, query, query, num_heads=2, input_layout="BSH")

    torch._dynamo.reset()
    torchair.dynamo_export(torch.randn(1, 4, 16).half().npu(), model=Model(), export_path=str(tmp_path / "air"),
                           export_name="attention", config=torchair.CompilerConfig())
    (path,) = (tmp_path / "air").rglob("*.air")
    model = ModelDef()
    model.ParseFromString(path.read_bytes())
    assert len(Graph(model.graph[0]).nodes("NpufaPromptFlashAttention")) == 1


@on_device
def test_cache_compile_runs_without_a_cache(tmp_path):
    import torchair

    import npufa

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.run = torchair.inference.cache_compile(self.attend, cache_dir=str(tmp_path))

        def forward(self, query):
            return self.run(query)

        def attend(self, query):
            return npufa.npu_prompt_flash_attention(query, query, query, num_heads=2, input_layout="BSH")

    torch._dynamo.reset()
    model = Model()
    query = torch.randn(1, 4, 16).half().npu()
    with captured() as graphs, torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(model(query), model.attend(query), rtol=0, atol=0)
    assert len(graphs) == 1
    assert not list(tmp_path.rglob("*compiled_module*"))


@on_device
def test_a_stored_graph_cannot_run():
    from npufa.sim.graph_engine import SimulatedGraph

    with pytest.raises(NotImplementedError, match="graph_7 was loaded without the PyTorch graph"):
        SimulatedGraph("graph_7").run(([], [], None))
    with pytest.raises(NotImplementedError, match="aoe_config"):
        SimulatedGraph("graph_7").auto_tune(([], None))
