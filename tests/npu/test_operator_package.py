"""Where npufa finds its operator package for CANN, and what it says when something is wrong with it.

Every fake package answers with a status of its own, which the error message then shows.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from npufa.doctor.package import expected_version
from npufa.sim._native import LIBRARY_DIR

VERSION = expected_version()

CALLS = """
import os, npufa.sim, torch
npufa.sim.enable()
q = torch.zeros(1, 2, 8, 64).half().npu()
step = q[:, :, :1]
counts = [torch.zeros(size, dtype=torch.int64).npu() for size in ((4,), (4, 1), (4,), (4,), (4,), (4, 8))]
infer = dict(num_heads=2, input_layout="BNSD")
CALLS = {
    "prompt": lambda: npufa.npu_prompt_flash_attention(q, q, q, **infer),
    "incre": lambda: npufa.npu_incre_flash_attention(step, q, q, **infer),
    "infer": lambda: npufa.npu_fused_infer_attention_score(q, q, q, **infer),
    "step": lambda: npufa.npu_advance_step_flashattn(*counts, 4, 4, 16),
    "forward": lambda: npufa.npu_fusion_attention(q, q, q, 2, "BNSD"),
    "backward": lambda: npufa.npu_fusion_attention_grad(q, q, q, q, 2, "BNSD", softmax_max=maximum, softmax_sum=maximum,
                                                        attention_in=q),
    "dropout": lambda: npufa.npu_fusion_attention(q, q, q, 2, "BNSD", keep_prob=0.5),
}
maximum = torch.ones(1, 2, 8, 8).npu()
def call(name):
    try:
        CALLS[name]()
        print("==", name, "passed")
    except RuntimeError as error:
        print("==", name, error)
for name in CALLS:
    call(name)
os.environ["ASCEND_CUSTOM_OPP_PATH"] = os.environ["LATE"]
call("infer")
del os.environ["ASCEND_CUSTOM_OPP_PATH"], os.environ["ASCEND_OPP_PATH"]
call("infer")
"""


class Host:
    """Folders with fake packages, and an npufa whose simulator brings no operators."""

    def __init__(self, root: Path):
        self.root = root
        self.libraries = root / "lib"
        (self.libraries / "sim").mkdir(parents=True)
        for source in [*LIBRARY_DIR.iterdir(), *(LIBRARY_DIR / "sim").iterdir()]:
            link = self.libraries / source.relative_to(LIBRARY_DIR)
            if source.name != "op_api" and not link.exists():
                link.symlink_to(source)

    def package(self, folder, functions, version=VERSION):
        """functions: name without aclnnNpufa to the status that it returns."""
        lines = [f"int aclnnNpufa{name}(void) {{ return {status}; }}" for name, status in functions.items()]
        if version is not None:
            lines.append(f'const char npufa_operator_package[] = "npufa operator package {version}";')
        library = self.library(folder)
        command = [os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-xc", "-", "-o", library]
        subprocess.run(command, check=True, text=True, input="\n".join(lines))
        return library

    def library(self, folder):
        library = self.root / folder / "op_api/lib/libcust_opapi.so"
        library.parent.mkdir(parents=True)
        return library

    def messages(self, custom, late):
        environment = os.environ | {
            "ASCEND_CUSTOM_OPP_PATH": ":".join(str(self.root / name) for name in custom),
            "ASCEND_OPP_PATH": str(self.root / "opp"),
            "LATE": str(self.root / late),
            "NPUFA_LIBRARY_DIR": str(self.libraries),
        }
        done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        messages = {}
        for text in done.stdout.split("== ")[1:]:
            name, _, message = text.partition(" ")
            messages.setdefault(name, []).append(message)
        return messages


def entry(name, status):
    return {f"{name}GetWorkspaceSize": status, name: status}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("host"))
    host.package("a", entry("PromptFlashAttention", 11))
    host.package("b", entry("PromptFlashAttention", 12) | entry("IncreFlashAttention", 12))
    host.package("old", entry("FlashAttention", 13), version="0.0.1")
    host.package("nameless", entry("FlashAttentionGrad", 14), version=None)
    host.package("half", {"DropoutMaskGetWorkspaceSize": 0})
    host.package("other half", entry("DropoutMask", 0))
    host.package("opp/vendors/x", entry("PromptFlashAttention", 21) | entry("AdvanceStepFlashattn", 21))
    host.package("opp/vendors/y", entry("AdvanceStepFlashattn", 22))
    host.package("opp/vendors/unlisted", entry("FusedInferAttentionScore", 23))
    host.package("late", entry("FusedInferAttentionScore", 31))
    host.library("broken").write_bytes(b"no library")
    foreign = host.package("foreign", entry("FusedInferAttentionScore", 32))
    if os.getuid() == 0:
        os.chown(foreign, 12345, -1)
    else:
        foreign.unlink()
    (host.root / "opp/vendors/config.ini").write_text("load_priority=y,x\n")
    return host


CUSTOM = ["a", "b", "absent", "broken", "old", "nameless", "half", "other half", "foreign"]


@pytest.fixture(scope="module")
def messages(host):
    return host.messages(CUSTOM, "late")


@pytest.mark.parametrize("call, operator, status", [
    ("prompt", "PromptFlashAttention", 11),  # the first of ASCEND_CUSTOM_OPP_PATH before others and before vendors
    ("incre", "IncreFlashAttention", 12),  # the first that has the function
    ("step", "AdvanceStepFlashattn", 22),  # vendors in the order of config.ini
])  # fmt: skip
def test_precedence(messages, call, operator, status):
    assert f"aclnnNpufa{operator}GetWorkspaceSize failed with status {status}" in messages[call][0]


def test_another_version(host, messages):
    assert messages["forward"][0].startswith(
        f"npufa::npu_fusion_attention: the operator package {host.root}/old/op_api/lib/libcust_opapi.so is of another "
        f'version, got "npufa operator package 0.0.1"; expected "npufa operator package {VERSION}"'
    )


def test_without_version(host, messages):
    assert f"{host.root}/nameless/op_api/lib/libcust_opapi.so is of another version, got a package without version" in (
        messages["backward"][0]
    )


def test_divided_between_two_packages(host, messages):
    assert (
        f"aclnnNpufaDropoutMask is divided between two operator packages: {host.root}/half/op_api/lib/libcust_opapi.so "
        f"has aclnnNpufaDropoutMaskGetWorkspaceSize and {host.root}/other half/op_api/lib/libcust_opapi.so has "
    ) in messages["dropout"][0]


def test_not_found_tells_why_for_every_place(host, messages):
    message = messages["infer"][0]
    assert "npufa::npu_fused_infer_attention_score: aclnnNpufaFusedInferAttentionScore not found" in message
    lines = {line.partition(": ")[0]: line.partition(": ")[2] for line in message.splitlines()}
    function = "aclnnNpufaFusedInferAttentionScoreGetWorkspaceSize"
    reasons = {folder: lines[f"{host.root}/{folder}/op_api/lib/libcust_opapi.so"] for folder in CUSTOM}
    reasons |= {name: lines[f"{host.root}/opp/vendors/{name}/op_api/lib/libcust_opapi.so"] for name in "xy"}
    foreign = "torch_npu ignores it, because neither this user nor root owns it"
    assert reasons.pop("foreign") == (foreign if os.getuid() == 0 else "no such file")
    assert reasons.pop("absent") == "no such file"
    assert reasons.pop("broken").startswith("cannot be loaded: ")
    assert set(reasons.values()) == {f"has no {function}"}
    assert "unlisted" not in message
    assert "python -m npufa doctor" in message


def test_variable_set_too_late(messages):
    reason = "has it; the environment variable was set after torch_npu was imported"
    assert f"late/op_api/lib/libcust_opapi.so: {reason}" in messages["infer"][1]


def test_no_package_named_anywhere(messages):
    text = "neither ASCEND_CUSTOM_OPP_PATH nor ASCEND_OPP_PATH/vendors/config.ini names a package"
    assert text in messages["infer"][2]
