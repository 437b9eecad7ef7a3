"""No two modules of npufa import each other, directly or through others.

Counted is what stands outside functions, imports for type checkers included: types that need each other are a circle,
too. An import inside a function is a choice made when it runs (npufa._autoload finds the simulator that way).
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "npufa"


def modules(package):
    """Name to path of every module below a package's folder."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def outside_functions(node):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def imported(name, path):
    """Dotted names that a module imports; of `from a import b` the longer one, `a.b`, and `a`."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in outside_functions(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ([alias.name] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ([f"{source}.{alias.name}", source] for alias in node.names)


def graph(package):
    known = modules(package)
    found = {}
    for name, path in known.items():
        found[name] = {next((n for n in names if n in known), name) for names in imported(name, path)} - {name}
    return found


def circle(package):
    """The first circle of imports; None where there is none."""
    try:
        TopologicalSorter(graph(package)).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return None


def test_no_circle():
    assert circle(PACKAGE) is None


def test_the_graph_is_not_empty():
    found = graph(PACKAGE)
    assert "npufa.sim._kernel_report" in found["npufa.sim.profiling"]
    assert "npufa.sim.profiling" in found["npufa.sim"]
    assert "npufa.flash_attn._check" in found["npufa.flash_attn.interface"]


@pytest.mark.parametrize("text", [
    "from .parts import leaf\n", "from . import parts\n", "import house.parts\n", "from house import parts\n",
    "if TYPE_CHECKING:\n    from .parts import leaf\n", "class A:\n    from .parts import leaf\n",
])
@pytest.mark.parametrize("at", ["room.py", "room/__init__.py"])
def test_a_circle_is_found(tmp_path, text, at):
    house = tmp_path / "house"
    (house / at).parent.mkdir(parents=True)
    (house / "__init__.py").write_text("")
    (house / "parts.py").write_text("from . import between\n")
    (house / "between.py").write_text("from house.room import door\n")
    (house / at).write_text(text if at == "room.py" else text.replace("from .", "from .."))
    assert set(circle(house)) == {"house.parts", "house.between", "house.room"}


def test_an_import_inside_a_function_is_no_circle(tmp_path):
    house = tmp_path / "house"
    house.mkdir()
    (house / "a.py").write_text("from .b import x\n")
    (house / "b.py").write_text("def x():\n    from .a import y\n")
    assert circle(house) is None
