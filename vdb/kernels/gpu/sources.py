"""The text of the CUDA kernels: one unit that is compiled as a whole, and which kernels are in it.

`cuda/primitives.cuh` is first, then the other shared files (`.cuh`), then the kernels (`.cu`), each by name. A kernel
is written as `extern "C" __global__ void name(`, or by a macro of which the name ends in KERNEL, its first argument
the name of the kernel.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["OPTIONS", "PRIMITIVES", "kernels", "parts", "text"]

PRIMITIVES: Final = "primitives.cuh"
"""The file with inline assembly; what runs the others elsewhere than on a GPU has its functions in another way."""
OPTIONS: Final = ("--std=c++17", "--fmad=true")
"""Of the compiler (NVRTC), but for the architecture: the driver names that of its GPU."""

_FOLDER: Final = Path(__file__).parent / "cuda"
_BOUNDS: Final = r"(?:__launch_bounds__\([^)]*\)\s*)?"
_KERNEL: Final = re.compile(
    rf'^extern "C" __global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(|^\w*KERNEL\(\s*(\w+)', re.MULTILINE
)


@cache
def parts() -> dict[str, str]:
    """The text of each file by its name, in the order in which they are compiled."""
    shared = sorted(path for path in _FOLDER.glob("*.cuh") if path.name != PRIMITIVES)
    paths = [_FOLDER / PRIMITIVES, *shared, *sorted(_FOLDER.glob("*.cu"))]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def text(without: str | None = None) -> str:
    """All of it, with lines that tell compilers the names of files; not the file `without`."""
    return "".join(f'#line 1 "{name}"\n{part}\n' for name, part in parts().items() if name != without)


@cache
def kernels() -> tuple[str, ...]:
    """The names of the kernels, in the order of the text."""
    return tuple(plain or by_macro for plain, by_macro in _KERNEL.findall(text()))
