"""Which code a record depends on: what the module that measures it imports inside this package, and what that imports.

Only import statements count, wherever they stand, but for those that only a type checker reads. A name
looked up in a table is not an import; whoever looks one up names the module found (see ``Laboratory.code``).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=64)
def code_version(*modules: str, package: Path = PACKAGE) -> str:
    """Hash of the code of modules and of all they import: [12 hex digits]; comments, docstrings and layout do not count.

    Args:
        modules: names inside the package, such as ``lab.measures.training``.
        package: folder of the package.
    """
    digest = hashlib.sha256()
    for module in closure(*modules, package=package):
        digest.update(_code(_file(module, package).read_text(encoding="utf-8")))
    return digest.hexdigest()[:12]


def closure(*modules: str, package: Path = PACKAGE) -> tuple[str, ...]:
    """Names of the modules and of all modules of the package that they import, directly or not, sorted."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += imports(module, package)
    return tuple(sorted(found))


def imports(module: str, package: Path = PACKAGE) -> set[str]:
    """Modules of the package that a module's own import statements name."""
    file = _file(module, package)
    here = f"{package.name}.{module}".rstrip(".")
    # In a package's __init__ one dot is the package itself; in a module it is the folder around it.
    folder = here if file.name == "__init__.py" else here.rpartition(".")[0]
    named: set[str] = set()
    for node in _statements(file.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        else:
            base = resolve_name("." * node.level + (node.module or ""), folder)
            # ``from .a import b``: b may be a module, else it is a name in a.
            named |= {f"{base}.{a.name}" if _exists(f"{base}.{a.name}", package) else base for a in node.names}
    return {name.partition(".")[2] for name in named if name.partition(".")[0] == package.name and _exists(name, package)}


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those in ``if TYPE_CHECKING:``, which never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _run(node)


def _exists(name: str, package: Path) -> bool:
    top, _, module = name.partition(".")
    return top == package.name and _file(module, package).is_file()


def _file(module: str, package: Path) -> Path:
    path = package.joinpath(*module.split(".")) if module else package
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@lru_cache(maxsize=256)
def _statements(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    return tuple(node for node in _run(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom))


@lru_cache(maxsize=256)
def _code(source: str) -> bytes:
    """What of a module's text counts."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return repr(_plain(tree)).encode()


def _plain(node: Any) -> Any:
    """A syntax tree without its empty fields, which differ between versions of Python."""
    if isinstance(node, ast.AST):
        return [type(node).__name__, *([name, _plain(value)] for name, value in ast.iter_fields(node) if value not in (None, []))]
    return [_plain(item) for item in node] if isinstance(node, list) else repr(node)
