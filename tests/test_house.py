"""The rooms of the package: no circle among its imports, no arrow upward, and files that can be read in a sitting."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dfr_core

ROOT = Path(dfr_core.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))

#: From the ground up: a room imports from itself and from the rooms above it in this list, never from those below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "literal", "__init__"),
    ("files", "device", "paper_numbers", "plotting", "regions", "backbones.architecture"),
    ("settings", "receptive_field"),
    ("backbones",),
    ("regional", "tiles", "scoring", "metrics"),
    ("data",),
    ("extract", "editions"),
    ("methods",),
    ("records",),
    ("lab", "figures"),
    ("course", "widgets", "bench", "distil"),
    ("command",),
    ("__main__",),
)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, those inside functions too, those for type checkers not."""
    here = path.relative_to(ROOT).parts[:-1]
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*here[: len(here) - node.level + 1], *(node.module.split(".") if node.module else [])]
            elif (node.module or "").split(".")[0] == "dfr_core":
                base = node.module.split(".")[1:]
            else:
                continue
            for alias in node.names:
                names = ".".join([*base, alias.name]), ".".join(base)
                found.add(next((name for name in names if name in MODULES), "__init__"))
        waiting += ast.iter_child_nodes(node)
    return found


GRAPH = {name: imports(path) for name, path in MODULES.items()}


def floor(module: str) -> int:
    names = module or "__init__", module.split(".")[0]  # a file may stand lower than its room
    return next(k for name in names for k, rooms in enumerate(FLOORS) if name in rooms)


def test_every_room_has_its_floor() -> None:
    listed = [room for rooms in FLOORS for room in rooms]
    assert {room.split(".")[0] for room in listed} == {module.split(".")[0] for module in MODULES}


def test_no_arrow_goes_up() -> None:
    upward = [f"{module} imports {other}" for module, others in GRAPH.items() for other in others if floor(other) > floor(module)]
    assert not upward


def test_there_is_no_circle() -> None:
    state: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert state.get(module) != 1, f"a circle: {' -> '.join(path[path.index(module) :])} -> {module}"
        if module not in state:
            state[module] = 1
            for other in GRAPH[module] - {module}:
                visit(other, (*path, module))
            state[module] = 2

    for module in GRAPH:
        visit(module, ())


def test_the_root_is_a_short_list() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 20


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_and_its_functions_can_be_read_in_a_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [f"{f.name} ({f.end_lineno - f.lineno + 1} lines)" for f in functions if f.end_lineno - f.lineno + 1 > 60]


def test_names_of_the_package_cost_nothing_before_they_are_used() -> None:
    heavy = "any(name in sys.modules for name in ('torch', 'matplotlib', 'scipy'))"
    code = f"import sys, dfr_core, dfr_core.methods, dfr_core.settings, dfr_core.command; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
