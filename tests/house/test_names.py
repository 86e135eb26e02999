"""Names and exports: no catch-all modules, a docstring on every module, `__all__` sorted and complete."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sources import EVERYTHING, MEASURED, PACKAGED, parse, python_files, relative

FORBIDDEN_STEMS = {"util", "utils", "helper", "helpers", "common", "misc"}


def _assigned(node: ast.stmt) -> Iterator[str]:
    """Names bound by a top-level assignment."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def _defined(tree: ast.Module) -> set[str]:
    """Public names that the module itself defines."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        names.update(_assigned(node))
    return {name for name in names if not name.startswith("_")}


def _imported(tree: ast.Module) -> set[str]:
    """Names that the module brings in from others."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return {alias.asname or alias.name for node in imports for alias in node.names}


def _exports(tree: ast.Module) -> list[str] | None:
    """The module's `__all__`, or None."""
    for node in tree.body:
        if "__all__" in _assigned(node) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            exports: list[str] = ast.literal_eval(node.value)
            return exports
    return None


def _order(name: str) -> tuple[int, list[str | int]]:
    """The order ruff keeps (RUF022): constants, classes, the rest; numbers in a name count as numbers."""
    group = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return group, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _problem(path: Path) -> str | None:
    """What is wrong with the file's `__all__`. A package may re-export; variables in lower case may stay inside."""
    tree = parse(path)
    exports = _exports(tree)
    if exports is None:
        return None
    defined = _defined(tree)
    missing = {name for name in defined if not name.islower()} | (defined & _functions(tree))
    allowed = defined | _imported(tree) | {"__version__"} if path.name == "__init__.py" else defined
    if list(exports) != sorted(set(exports), key=_order):
        return "not sorted"
    if set(exports) - allowed or missing - set(exports):
        return f"unknown {sorted(set(exports) - allowed)}, missing {sorted(missing - set(exports))}"
    return None


def _functions(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("folder", EVERYTHING)
def test_no_module_is_a_catch_all(folder: str) -> None:
    assert [relative(path) for path in python_files(folder) if path.stem in FORBIDDEN_STEMS] == []


def test_every_module_says_what_it_owns() -> None:
    assert [relative(path) for path in python_files(*EVERYTHING) if not ast.get_docstring(parse(path))] == []


def test_every_export_list_is_sorted_and_complete() -> None:
    problems = {relative(path): _problem(path) for path in python_files(*MEASURED)}
    assert {file: problem for file, problem in problems.items() if problem} == {}


def test_no_except_passes_in_silence() -> None:
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in python_files(*PACKAGED)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler) and len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
    ]
    assert found == []
