"""`python -m bench <workload> [arguments]`: finds the workload's folder and runs its `main`.

A workload is a folder of `bench` whose `__init__.py` defines `main(arguments) -> int`; hyphens in its name are
underscores in the folder's. The first line of its docstring is its entry in the list.
"""

import ast
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def workloads() -> dict[str, str]:
    """Every workload by name, with one line on what it measures; nothing is imported."""
    found: dict[str, str] = {}
    for source in sorted(HERE.glob("*/__init__.py")):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[source.parent.name.replace("_", "-")] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    """Run the workload named first; the exit code is its own, 2 for a name that is none."""
    known = workloads()
    name = arguments[0] if arguments else ""
    if name not in known:
        print("usage: python -m bench <workload> [arguments]; --help after a workload shows its own\n", file=sys.stderr)
        for workload, line in known.items():
            print(f"  {workload:<14} {line}", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"bench.{name.replace('-', '_')}").main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
