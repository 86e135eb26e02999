"""Builds the CUDA sources for the CPU: a shared library for each text, kept in the folder for temporary files."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from vdb.kernels.gpu import sources

__all__ = ["kernels_of", "library"]

_HERE: Final = Path(__file__).parent
_HEADERS: Final = ("emulated.h", "threads.h", "builtins.h", "primitives.h", "launch.h")
_FLAGS: Final = (
    "-std=c++17", "-O2", "-march=native", "-ffp-contract=fast", "-fno-strict-aliasing", "-fvisibility=hidden", "-fPIC",
    "-shared", "-Wl,-Bsymbolic", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused", "-Wno-sign-compare",
    "-fsanitize=bounds-strict", "-fsanitize-undefined-trap-on-error",
)  # fmt: skip
_KERNEL: Final = re.compile(
    r'extern "C"\s+__global__\s+(?:__launch_bounds__\s*\(.*?\)\s+)?void\s+(?:__launch_bounds__\s*\(.*?\)\s+)?(\w+)\s*\('
)


def library(text: str | None = None) -> Path:
    """The library of the sources, or of another text of kernels; skips the test where nothing can build it."""
    return _built(sources.text(without=sources.PRIMITIVES) if text is None else text)


def kernels_of(text: str) -> tuple[str, ...]:
    """The kernels in a text, those that macros make among them."""
    asked = ["-E", "-P", "-x", "c++", "-std=c++17", "-D__global__=__global__", "-"]
    expanded = _run([_compiler(), *asked], text)
    return tuple(_KERNEL.findall(expanded))


@cache
def _compiler() -> str:
    found = shutil.which("g++")
    if found is None or os.uname().sysname != "Linux":
        pytest.skip("the CUDA sources run on the CPU by g++ on Linux, which is not here")
    return found


@cache
def _built(text: str) -> Path:
    compiler = _compiler()
    machine = _run([compiler, "-march=native", "-Q", "--help=target"])
    parts = [text, machine, *_FLAGS, *((_HERE / name).read_text(encoding="utf-8") for name in _HEADERS)]
    built = _folder() / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.so"
    with open(_folder() / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers ask at once for the same one
        if not built.exists():
            _build(compiler, text, built)
    return built


def _build(compiler: str, text: str, built: Path) -> None:
    entries = " ".join(f"ENTRY({name})" for name in kernels_of(text))
    unit = f'#include "emulated.h"\nnamespace {{\n{text}\n}}\n#line 1 "entries"\nKERNELS_ARE({entries})\n'
    unfinished = built.with_suffix(".unfinished")
    _run([compiler, *_FLAGS, f"-I{_HERE}", "-x", "c++", "-", "-o", str(unfinished)], unit)
    unfinished.rename(built)


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"vdb-emulated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} is another's"
    return folder


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stderr[-6000:]}"
    return done.stdout
