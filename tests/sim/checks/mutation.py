"""Small mistakes put into a correct kernel: a flag removed or of other pipes, a shortened buffer, a shifted offset.

All mutants of a source are compiled together: the instrumented source asks at run time whether it should make mistake
N. A mistake that does no harm is marked in the source: `// survives <kind>: <why>`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import re
from collections.abc import Callable

from npufa import sim
from npufa.sim._native import native

HEADER = """#ifndef NPUFA_MUTATION_H
#define NPUFA_MUTATION_H
extern "C" {
inline int npufa_mutant = 0;
}
inline bool Mutant(int number) { return npufa_mutant == number; }
#endif
"""

# A preprocessor line, or a statement with the head of the block it stands in.
_STATEMENT = re.compile(r"^[ \t]*#.*\n|[^;{}#]+;", re.MULTILINE)
_DATA = re.compile(
    r"\b(?:AscendC::)?(DataCopy|DataCopyPad|LoadData|Fixpipe|Mmad|Adds?|Muls?|Relu|Cast|Duplicate)\(|\bLoad\w*\("
)
_COUNT = re.compile(r", (k\w+|rows \* pitch\w*|count)\);")
_ORDER = re.compile(
    r"(?:AscendC::)?(?:SetFlag|WaitFlag|PipeBarrier|CrossCoreSetFlag|CrossCoreWaitFlag|SyncAll)"
    r"(?:<[^;{}()]*>)?\([^;{}]*\);"
    r"|\b\w+(?:\.|->)(?:EnQue|Free\w*)(?:<\w+>)?\(\w+\);"
    r"|(?<![>\w] )\b\w+ = \w+(?:\.|->)(?:template )?DeQue<\w+>\(\);"
)
_FLAG = re.compile(r"(?:SetFlag|WaitFlag)<(?:AscendC::)?HardEvent::(\w+?)_(\w+)>\((.*)\);")
_INDEX = re.compile(r"(\w+\(?\)?)\[((?:[^\[\]]|\[[^\[\]]*\])+)\]")
_ARRAY = re.compile(r"^\s*(?:const )?[\w:<>]+ (\w+)\[[A-Z0-9]\w*\](?:;| =)", re.MULTILINE)  # of the program itself
_ONE_WAY = {"MTE2_FIX", "FIX_S", "M_S"}  # pairs whose reverse has no name


@dataclasses.dataclass(frozen=True)
class Mutation:
    number: int
    file: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {' '.join(self.text.split())}"


class Instrumented:
    """A source with its mutations, numbered by `numbers`; `survivors`: the (line, kind) that it marks as harmless."""

    def __init__(self, source: str, file: str, numbers=None):
        self.mutations: list[Mutation] = []
        self.survivors: set[tuple[int, str]] = set()
        self._file = file
        self._numbers = numbers or itertools.count(1)
        for number, line in enumerate(source.splitlines(), 1):
            if match := re.search(r"// survives ([^:]+):", line):
                self.survivors |= {(number, kind.strip()) for kind in match[1].split(",")}
        self._code = re.sub(r"//.*", "", source)
        self._arrays = set(_ARRAY.findall(self._code))
        self.text = f'#include "mutation.h"\n#line 1 "{file}"\n' + _STATEMENT.sub(self._statement, self._code)

    def _new(self, kind: str, text: str) -> str:
        number = next(self._numbers)
        self.mutations.append(Mutation(number, self._file, self._line, kind, text))
        return f"Mutant({number})"

    def _statement(self, match: re.Match) -> str:
        code = match[0]
        if code.lstrip().startswith("#"):
            return code
        start = match.start() + len(code) - len(code.lstrip())
        self._line = self._code.count("\n", 0, start) + 1
        if "InitBuffer(" in code:
            return code.replace(");", f" - ({self._new('shorten', code)} ? 32 : 0));")
        if re.match(r"\s*params\.\w+ = (?!true|false)", code):
            return code.replace(";", f" + ({self._new('parameter', code)} ? 1 : 0);")
        if _DATA.search(code):
            code = _INDEX.sub(lambda m: self._indexed(m, code), code)
            return _COUNT.sub(lambda m: f", {m[1]} - ({self._new('fewer', code)} ? 16 : 0));", code)
        return _ORDER.sub(lambda m: self._order(m[0]), code)

    def _indexed(self, match: re.Match, code: str) -> str:
        name, index = match.groups()
        if name in self._arrays:
            return match[0]
        one, block = self._new("shift 1", code), self._new("shift 16", code)
        return f"{name}[({index}) + ({one} ? 1 : {block} ? 16 : 0)]"

    def _order(self, statement: str) -> str:
        variants = [("delete", "{}")]
        if flag := _FLAG.search(statement):
            source, target, argument = flag.groups()
            if source != target and f"{source}_{target}" not in _ONE_WAY:
                variants.append(("reverse", statement.replace(f"::{source}_{target}>", f"::{target}_{source}>")))
            variants.append(("id", statement.replace(f">({argument});", f">(({argument}) + 1);")))
        elif "CrossCore" in statement:
            variants.append(("id", re.sub(r"\((.*)\);", r"((\1) + 1);", statement)))
            if "Set" in statement:
                variants.append(("pipe", re.sub(r", PIPE_\w+>", ", PIPE_MTE2>", statement)))
        chain = "".join(f"if ({self._new(kind, statement)}) {code} else " for kind, code in variants)
        return "{ " + chain + statement + " }"


def chooser(library: sim.KernelLibrary) -> Callable[[int], None]:
    """A function that sets the mistake the library makes from now on; 0: none."""
    native()  # what the programs are linked against at run time
    numbers = [ctypes.c_int.in_dll(ctypes.CDLL(str(p)), "npufa_mutant") for p in (library.cube, library.vector)]

    def choose(number: int) -> None:
        for variable in numbers:
            variable.value = number

    return choose
