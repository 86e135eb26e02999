"""NVIDIA's compiler takes the sources, and no kernel keeps what it counts with in memory."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vdb.kernels.gpu import sources

KERNEL = re.compile(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads", re.DOTALL)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_sources_compile_and_no_register_is_spilled(tmp_path: Path, architecture: str) -> None:
    compiler = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if compiler is None:
        pytest.skip("nvcc is not installed")
    source = tmp_path / "kernels.cu"
    source.write_text(sources.text(), encoding="utf-8")
    command = [compiler, f"-arch={architecture}", *sources.OPTIONS, "-cubin", "-Xptxas", "-v", "-o", "kernels.cubin"]
    done = subprocess.run([*command, source], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6_000:]
    spilled = {name: int(stores) + int(loads) for name, stores, loads in KERNEL.findall(done.stderr)}
    assert sorted(spilled) == sorted(sources.kernels())
    assert {name: n_bytes for name, n_bytes in spilled.items() if n_bytes} == {}, done.stderr
