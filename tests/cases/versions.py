"""What tests ask about the torch that is there. A skip names it: docs/versions.md lists these reasons."""

import contextlib
import importlib

import pytest
import torch

from npufa import _version

TORCH = f"torch {_version.minor(torch.__version__)}"
WIDE = (torch.int64, torch.uint64) if hasattr(torch, "uint64") else (torch.int64, )  # types with 64 bits for a scale


def before(minor):
    """Whether this torch is older than 2.`minor`."""
    return int(TORCH.partition(".")[2]) < minor


def lacks(minor, what):
    """Marks a test of what torch has from 2.`minor` on."""
    return pytest.mark.skipif(before(minor), reason=f"{TORCH} has no {what}")


def needs(module, name):
    """Marks a test of something in torch that this torch may not have."""
    try:
        found = hasattr(importlib.import_module(module), name)
    except ImportError:
        found = False
    return pytest.mark.skipif(not found, reason=f"{TORCH} has no {module}.{name}")


needs_opcheck = needs("torch.library", "opcheck")


def aliases_raise():
    """As in an environment with CI: results that are taken for new tensors raise, where torch can tell."""
    config = importlib.import_module("torch._functorch.config")
    if "error_on_custom_op_aliasing" not in dir(config):
        return contextlib.nullcontext()
    return config.patch(error_on_custom_op_aliasing=True)
