"""The source tree as the house rules see it: files, syntax trees, functions.

Packaged code is `vdb/` and `api/`; measured code adds `bench/`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ("vdb", "api")
MEASURED = ("vdb", "api", "bench")
EVERYTHING = ("vdb", "api", "bench", "tests")


@dataclass(frozen=True, slots=True)
class Function:
    """One function or method; `n_lines` runs from its `def` to its last line, docstring included."""

    file: str
    name: str
    n_lines: int


def python_files(*folders: str) -> list[Path]:
    """Every Python file under the folders of the root."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    """The path from the root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(*folders: str) -> Iterator[Function]:
    """Every function and method under the folders, nested ones too."""
    for path in python_files(*folders):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield Function(relative(path), node.name, n_lines)
