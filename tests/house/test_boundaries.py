"""What may appear where: HTTP statuses, the environment, print; and a light `import vdb`."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator

from tests.house.sources import PACKAGED, ROOT, parse, python_files, relative

HEAVY = ("numba", "fastapi", "faiss", "cupy", "lmdb", "uvicorn")


def _places(folders: tuple[str, ...], home: str, matches: Callable[[ast.AST], bool]) -> Iterator[str]:
    """`file:line` of every matching node outside its home."""
    for path in python_files(*folders):
        if relative(path) != home:
            yield from (f"{relative(path)}:{node.lineno}" for node in ast.walk(parse(path)) if matches(node))  # type: ignore[attr-defined]


def _is_error_status(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and 400 <= node.value <= 599


def _is_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in {"environ", "getenv"}
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name == "environ" for a in node.names)


def _is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def test_http_error_statuses_live_in_one_file() -> None:
    assert list(_places(("api",), "api/errors.py", _is_error_status)) == []


def test_the_environment_is_read_in_config_only() -> None:
    assert list(_places(PACKAGED, "vdb/config.py", _is_environment)) == []


def test_nothing_prints_but_the_output_of_the_command_line() -> None:
    assert list(_places(PACKAGED, "", _is_print)) == []


def test_importing_vdb_loads_nothing_heavy() -> None:
    code = f"import sys, vdb; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
