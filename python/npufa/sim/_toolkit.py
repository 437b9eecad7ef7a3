"""A CANN toolkit among the include directories: its libraries are used, its own basic layer is not, for that is what
the simulator is. Structs that the toolkit's builder makes of tiling definitions are made here."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

_GUARD = re.compile(r"^#ifndef (\w+)\s*\n#define \1\s*$", re.MULTILINE)
_STRUCT = re.compile(r"BEGIN_TILING_DATA_DEF\(\s*(\w+)\s*\)(.*?)END_TILING_DATA_DEF", re.DOTALL)
_FIELD = re.compile(r"TILING_DATA_FIELD_DEF(_ARR|_STRUCT)?\(([^)]*)\)")
_ARRAY_LENGTH = re.compile(r"TILING_DATA_FIELD_DEF_ARR\([^,]*,\s*([A-Za-z_]\w*)\s*,")
_REGISTERED = re.compile(r"REGISTER_TILING_DATA_CLASS\(\s*(\w+)\s*,\s*(\w+)\s*\)")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def is_toolkits(directory: Path) -> bool:
    """Whether `directory` is a toolkit's: it holds headers in whose place the simulator's are meant."""
    return any((directory / name).exists() for name in ("kernel_operator.h", "kernel_tensor.h", "lib/matmul_intf.h"))


def root_of(directory: Path) -> Path | None:
    """Where the toolkit lies whose include directory this is; None for one whose libraries refer to nothing by path.
    Its headers name each other from here, too."""
    return next((d for d in (directory, *directory.parents) if (d / "include" / "basic_api").is_dir()), None)


# In the basic layer's directories, but of the libraries: structs of their parameters.
_STRUCTS = ("kernel_utils_struct_confusion_pad.h", "kernel_utils_struct_norm_sort.h")
# Libraries that need what the simulator does not have: cards that talk, layouts of registers, later language.
_NOT_HERE = ("hccl.h", "cmath.h", "softmaxflashv3.h", "transdata.h", "ascend_antiquant.h", "layernormgrad.h")


@functools.cache
def prologue(directory: Path) -> str:
    """What makes the libraries of the toolkit with this include directory compile over the simulator: macros that leave
    its basic layer out, to which they refer by relative paths, and the structs of kernel_tiling/kernel_tiling.h."""
    root = root_of(directory)
    if root is None:
        return "#define NPUFA_SIM_TOOLKIT_LIBRARIES"
    headers = [header for part in ("include", "impl") for header in sorted((root / part / "basic_api").rglob("*.h"))]
    libraries = root / "include" / "adv_api"
    left_out = [header for header in headers if header.name not in _STRUCTS]
    left_out += [header for name in _NOT_HERE for header in [*libraries.rglob(name), root / "include/utils/std" / name]
                 if header.exists()]  # fmt: skip
    guards = {guard for header in left_out for guard in _GUARD.findall(_read(header))}
    lines = ["#define __ASCENDC_INCLUDE_INTERNAL_HEADERS__", *(f"#define {guard}" for guard in sorted(guards))]
    if not (root / "include" / "kernel_tiling" / "kernel_tiling.h").exists():
        structs = tiling_structs(sorted(libraries.rglob("*_tilingdata.h")))
        names = re.findall(r"^struct (\w+)", structs, re.MULTILINE)
        lines += [structs, "namespace AscendC::tiling {", *(f"using ::{name};" for name in names), "}"]
    parts = [header for header in headers if header.name in _STRUCTS]
    lines += [f'#define NPUFA_SIM_TOOLKIT_STRUCTS_{i} "{header}"' for i, header in enumerate(parts)]
    if (libraries / "kernel_api.h").exists():  # CANN 9; before, programs include what they use
        lines.append(f'#define NPUFA_SIM_TOOLKIT_API "{libraries / "kernel_api.h"}"')
    lines.append("#define NPUFA_SIM_TOOLKIT_LIBRARIES")
    return "\n".join(lines)


def tiling_structs(headers: Iterable[Path]) -> str:
    """C++ structs of the BEGIN_TILING_DATA_DEF blocks in headers of a host.

    Raises:
        ValueError: a header without any such block.
    """
    lines = ["#include <cstdint>"]
    for header in headers:
        text = _read(header)
        structs = _STRUCT.findall(text)
        if not structs:
            raise ValueError(f"{header}: no BEGIN_TILING_DATA_DEF")
        lines += _lengths(text, {argument for _, body in structs for argument in _ARRAY_LENGTH.findall(body)})
        for name, body in structs:
            fields = "".join(f"  {_field(kind, arguments)};\n" for kind, arguments in _FIELD.findall(body))
            lines.append(f"struct {name} {{\n{fields}}};")
    return "\n".join(lines) + "\n"


def _lengths(text: str, names: Iterable[str]) -> Iterable[str]:
    """The constants of a header that are lengths of arrays."""
    for name in sorted(names):
        constant = rf"^\s*#define\s+{name}\s.*|(?:constexpr|const)\s+\w+\s+{name}\s*=[^;]*;"
        yield from re.findall(constant, text, re.MULTILINE)


def registered_tiling(headers: Iterable[Path]) -> str:
    """What GET_TILING_DATA finds in a kernel without REGISTER_TILING_DEFAULT: the first struct that is registered for
    an operator. Further ones, for single tiling keys, are named in the kernel."""
    names = [kind for header in headers for _, kind in _REGISTERED.findall(_read(header))]
    return f"using RegisteredTilingData = {names[0]};\n" if names else ""


def _read(header: Path) -> str:
    return _COMMENT.sub("", header.read_text(errors="replace"))


def _field(kind: str, arguments: str) -> str:
    parts = [part.strip() for part in arguments.split(",")]
    if kind == "_ARR":
        element, count, name = parts
        return f"{element} {name}[{count}] = {{}}"
    return f"{parts[0]} {parts[1]} = {{}}"
