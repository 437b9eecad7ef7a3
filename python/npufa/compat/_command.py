"""The command `python -m npufa run`."""

from __future__ import annotations

import argparse

from .. import _autoload, _script, flash_attn
from ._routes import install

COMMAND = "python -m npufa run"
_DESCRIPTION = """Runs a script of torch_npu, unchanged, with npufa's operators in place of torch_npu's, and with
npufa's functions where it imports flash_attn or flash_attn_npu. Where there is no CANN the NPU is a simulated one."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of `python -m npufa`."""
    parser = commands.add_parser("run", help="run a torch_npu script, unchanged, with npufa's operators",
                                 description=_DESCRIPTION)
    parser.add_argument("--soc", help="the simulated chip, where there is no CANN (default: Ascend910B3)")
    parser.add_argument("--no-check", action="store_true", help="do not check simulated kernels: faster")
    parser.add_argument("--children", action="store_true",
                        help="the same in the Python processes that the script starts (NPUFA_SIM)")
    parser.add_argument("--devices", type=int, choices=range(1, 17), metavar="N",
                        help="simulated chips that the process and its children have (default: one)")
    parser.add_argument("-m", dest="module", action="store_true", help="`script` is a module, as in python -m")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script")
    parser.set_defaults(execute=_run)


def _run(arguments: argparse.Namespace) -> None:
    if not arguments.module:
        _script.require(arguments.script, COMMAND)
    if _autoload.cann_library() is None:
        from .. import sim
        from ..sim._session import DEFAULT_SOC

        soc, check = arguments.soc or DEFAULT_SOC, not arguments.no_check
        sim.enable(soc, check=check, devices=arguments.devices)
        if arguments.children:
            _autoload.ask_children(soc, check)
    install()
    flash_attn.install()
    execute = _script.run_module if arguments.module else _script.run
    execute(arguments.script, arguments.arguments)
