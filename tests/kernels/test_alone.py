"""The kernels and their tests need numpy, numba and pytest, and cupy where there is a GPU: no other package.

A machine with a GPU often has no more, and whoever takes the kernels alone must not need the server's packages.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFUSING = """
import importlib.util, sys

OURS = {"vdb", "tests"}
PACKAGES = {"numpy", "numba", "llvmlite", "cupy", "cupy_backends", "fastrlock", "cuda"}
PYTEST = {"pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments"}
ALLOWED = OURS | PACKAGES | PYTEST | set(sys.stdlib_module_names)

class Refusing:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        is_allowed = name.partition(".")[0] in ALLOWED or name.startswith("__editable__")
        return self.finder.find_spec(name, path, target) if is_allowed else None

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Refusing(finder) for finder in sys.meta_path]
assert importlib.util.find_spec("hypothesis") is None and importlib.util.find_spec("msgspec") is None
sys.path.insert(0, "")
"""
IMPORTING = """
import importlib, pkgutil
import vdb.kernels
names = [module.name for module in pkgutil.walk_packages(vdb.kernels.__path__, "vdb.kernels.")]
for name in names:
    importlib.import_module(name)
assert "vdb.kernels.cpu.cells" in names and "vdb.kernels.gpu.cupy_driver" in names
"""
COLLECTING = """
import pytest
sys.exit(pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", "tests/kernels"]))
"""


@pytest.mark.parametrize("asked", [IMPORTING, COLLECTING], ids=["modules", "tests"])
def test_kernels_need_no_package_but_numpy_numba_and_pytest(asked: str) -> None:
    # What is imported is asked here, not what numba makes of it: that takes minutes where nothing is cached.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", REFUSING + asked], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
