"""What runs on this machine, concluded from the findings."""

from __future__ import annotations

from .report import OK, Finding, Target


def _lacking(findings: list[Finding], *needed: tuple[str, str]) -> str:
    """The first thing needed that is not there, as text; empty when all are."""
    for part, name in needed:
        finding = next(entry for entry in findings if (entry.part, entry.name) == (part, name))
        if finding.state != OK:
            return f"{name}: {finding.value}"
    return ""


TORCH = (("Python", "torch"), ("Python", "npufa"))
NPU = (("CANN", "NPU"), ("CANN", "driver"), ("CANN", "toolkit"), ("CANN", "libraries"), ("Python", "torch_npu"),
       ("Python", "torch_npu on CANN"), ("operator package", "package"))
SIM = (("Python", "torch_npu"), ("simulator", "libraries"))
GRAPH = (("Python", "torchair"), ("Python", "protobuf"), ("Python", "packaging"))


def targets(findings: list[Finding], has_cann: bool) -> list[Target]:
    """
    Args:
        findings: of every part.
        has_cann: the loader finds CANN, so that the simulator stands aside unless forced.
    """
    no_cpu = _lacking(findings, *TORCH)
    no_npu = _lacking(findings, *TORCH, *NPU)
    no_sim = _lacking(findings, *TORCH, *SIM)
    no_modules = _lacking(findings, *GRAPH)
    enable = "npufa.sim.enable(force=True), since CANN is installed" if has_cann else "npufa.sim.enable()"
    device = "" if not (no_npu and no_sim) else no_npu
    where = "on the NPU" if not no_npu else "on the simulated NPU"
    graph = "GE compiles and runs the graph" if not no_npu else (
        "on the simulated NPU torchair converts the graph, then it runs eagerly")
    return [
        Target("cpu", "CPU tensors", not no_cpu, no_cpu or "import npufa"),
        Target("npu", "NPU", not no_npu, no_npu or "tensors on npu:<n>"),
        Target("sim", "simulated NPU", not no_sim, no_sim or enable),
        Target("graph", "torchair, GE graph", not (device or no_modules), device or no_modules or graph),
        Target("aclgraph", "aclgraph", not device, device or f"capture and replay {where}"),
    ]
