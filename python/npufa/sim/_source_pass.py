"""What the Ascend C compiler adds to C++, as C++: kernel attributes and `kernel<<<blocks, control, stream>>>(...)`.

Works on preprocessed text, so that kernels and launches in headers and macros count too. Text only changes within its
line: the line numbers of findings stay those of the sources.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

# The preprocessor turns __global__ into this word, because a header may not know whether a template follows.
KERNEL_WORD = "__npufa_kernel__"
_MARK = re.compile(rf"<<<|\b{KERNEL_WORD}\b")
_ATTRIBUTE = re.compile(r"\b(__vector__|__cube__)\b|\b__mix__\s*\(\s*(\d)\s*,\s*(\d)\s*\)")
# The compiler's own spelling of __aicore__, and of both sides.
_SIDE = re.compile(r"\[\s*(?:host\s*,\s*)?aicore\s*\]")
_PIECE = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^# .*$|[A-Za-z_]\w*|\S', re.MULTILINE)
_BEFORE_DECLARATION = re.compile(r'[;{}]|^# .*$', re.MULTILINE)
_PAIRS = {")": "(", "}": "{", "]": "["}

_TASK_TYPES = {
    "__vector__": "KERNEL_TYPE_AIV_ONLY",
    "__cube__": "KERNEL_TYPE_AIC_ONLY",
    ("1", "0"): "KERNEL_TYPE_MIX_AIC_1_0",
    ("0", "1"): "KERNEL_TYPE_MIX_AIV_1_0",
    ("1", "1"): "KERNEL_TYPE_MIX_AIC_1_1",
    ("1", "2"): "KERNEL_TYPE_MIX_AIC_1_2",
}
_PROGRAMS = {"KERNEL_TYPE_AIV_ONLY": {"vector"}, "KERNEL_TYPE_AIC_ONLY": {"cube"}}


class SourceError(ValueError):
    """Kernel syntax that cannot be read; str() names file and line."""


@dataclasses.dataclass(frozen=True)
class Translated:
    """C++ text, and the programs that its kernels run on; empty without kernels."""

    text: str
    programs: frozenset[str]


def translate(text: str, c_names: bool = False, entries: Sequence[str] = ()) -> Translated:
    """C++ for the host compiler.

    Args:
        text: output of the preprocessor.
        c_names: kernels that are no templates have C linkage, to be found by name.
        entries: kernels, such as ``add<float, 64>``, that can be called with values: see `entry_name`.

    Raises:
        SourceError: a launch or a kernel that cannot be read.
    """
    edits: list[tuple[int, int, str]] = []
    programs: set[str] = set()
    for mark in _MARK.finditer(text):
        if _in_string(text, mark.start()):
            continue
        if mark.group() == "<<<":
            edits += _launch(text, mark.start())
        else:
            edits += _kernel(text, mark, c_names, programs)
    for words in (_ATTRIBUTE, _SIDE):
        edits += [(m.start(), m.end(), "") for m in words.finditer(text) if not _in_string(text, m.start())]
    parts = []
    at = 0
    for begin, end, new in sorted(edits):
        parts += [text[at:begin], new]
        at = end
    parts.append(text[at:])
    for i, entry in enumerate(entries):
        parts.append(f'\nextern "C" __attribute__((visibility("default"))) void {entry_name(i)}(void* const* values) '
                     f"{{ ::npufa_sim::CallWithValues({entry}, values); }}\n")
    return Translated("".join(parts), frozenset(programs))


def entry_name(index: int) -> str:
    """Symbol of the function that calls `entries[index]` of `translate` with pointers to its values."""
    return f"npufa_kernel_entry_{index}"


def _in_string(text: str, at: int) -> bool:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line.startswith("# ") or re.sub(r"\\.|'\"'", "", line).count('"') % 2 == 1


def _place(text: str, at: int) -> str:
    """file:line of a position in preprocessed text."""
    markers = list(re.finditer(r'^# (\d+) "([^"]*)".*\n', text[:at], re.MULTILINE))
    if not markers:
        return f"line {text.count(chr(10), 0, at) + 1}"
    last = markers[-1]
    return f"{last.group(2)}:{int(last.group(1)) + text.count(chr(10), last.end(), at)}"


def _close(text: str, at: int, closing: str) -> int:
    """Position of `closing` outside of brackets and strings, from `at` on; -1 without one."""
    depth = 0
    for piece in _PIECE.finditer(text, at):
        word = piece.group()
        if depth == 0 and text.startswith(closing, piece.start()):
            return piece.start()
        if word in ("(", "[", "{"):
            depth += 1
        elif word in _PAIRS:
            depth -= 1
            if depth < 0:
                return -1
    return -1


def _name_before(text: str, at: int) -> int:
    """Where the kernel's name, with namespaces and template arguments, begins that ends at `at`; -1 without one."""
    i = len(text[:at].rstrip())
    if i and text[i - 1] == ">":
        angles = brackets = 0
        while i:
            i -= 1
            brackets += (text[i] == ")") - (text[i] == "(")
            if brackets == 0:
                angles += (text[i] == ">") - (text[i] == "<")
                if angles == 0:
                    break
        i = len(text[:i].rstrip())
    name = re.search(r"(?:\w+\s*::\s*|::\s*)*[A-Za-z_]\w*$", text[max(0, i - 500) : i])
    return i - len(name.group()) if name else -1


def _launch(text: str, at: int) -> list[tuple[int, int, str]]:
    begin = _name_before(text, at)
    end = _close(text, at + 3, ">>>")
    if begin < 0 or end < 0:
        raise SourceError(f"{_place(text, at)}: a launch is written kernel<<<blocks, nullptr, stream>>>(arguments)")
    name = text[begin:at].strip()
    call = f"::npufa_sim::LaunchKernel([&](auto f) -> decltype(f({name})) {{ return f({name}); }}, "
    # Line ends stay where they are.
    kept = "\n" * text.count("\n", begin, at)
    return [(begin, at + 3, call.replace("\n", " ") + kept), (end, end + 3, ")")]


def _kernel(text: str, mark: re.Match[str], c_names: bool, programs: set[str]) -> list[tuple[int, int, str]]:
    start = 0
    for end in _BEFORE_DECLARATION.finditer(text, max(0, mark.start() - 2000), mark.start()):
        start = end.end()
    parameters, name = _parameters(text, mark.end())
    after = _close(text, parameters + 1, ")")
    if parameters < 0 or after < 0:
        raise SourceError(f"{_place(text, mark.start())}: __global__ without a function")
    linkage = 'extern "C" ' if c_names and "template" not in text[start : mark.start()] else ""
    edits = [(mark.start(), mark.end(), linkage + '__attribute__((visibility("default")))')]
    # Its programs find a kernel by its symbol.
    edits += [(word.start(), word.end(), "") for word in re.compile(r"\bstatic\b").finditer(text, start, name)]
    attribute = _ATTRIBUTE.search(text, start, name)
    task_type = _TASK_TYPES.get(attribute.group(1) or attribute.groups()[1:]) if attribute else None
    if attribute and task_type is None:
        raise SourceError(f"{_place(text, mark.start())}: {attribute.group()} is not a kind of kernel; "
                          "expected (1, 0), (0, 1), (1, 1) or (1, 2)")
    programs |= _PROGRAMS.get(task_type or "", {"cube", "vector"})
    body = _PIECE.search(text, after + 1)
    if task_type and body and body.group() == "{":
        declare = f" ::npufa_sim::DeclareDefaultTaskType({task_type});"
        edits.append((body.end(), body.end(), declare))
    return edits


def _parameters(text: str, at: int) -> tuple[int, int]:
    """Positions of the bracket that opens a function's parameters, and of its name, after `at`."""
    name = -1
    word = ""
    skip = at
    for piece in _PIECE.finditer(text, at):
        if piece.start() < skip:
            continue
        if piece.group() == "(":
            if word and word not in ("__attribute__", "__mix__", "decltype", "alignas"):
                return piece.start(), name
            skip = _close(text, piece.end(), ")") + 1
            if skip == 0:
                break
        elif piece.group() in (";", "{", "}"):
            break
        else:
            name, word = piece.start(), piece.group()
    return -1, -1
