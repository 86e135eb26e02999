"""Generated arrays and peers' indexes, kept in a folder so that a second run does not make them again.

The folder is the one that VDB_BENCH_CACHE names, or `vdb-bench-cache` in the system's temporary one. Nothing in it is
needed: it can be deleted at any time.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_MAPPED_BYTES = 64 << 20
"""Arrays from here on are mapped, not read: they then count as files, not as memory of the process."""


def default_folder() -> Path:
    """Where arrays are kept unless an argument says otherwise."""
    return Path(os.environ.get("VDB_BENCH_CACHE") or Path(tempfile.gettempdir()) / "vdb-bench-cache")


@dataclass(frozen=True, slots=True)
class Store:
    """Folders of `.npy` files by key. A folder appears whole or not at all."""

    folder: Path

    def arrays(self, key: str, make: Callable[[Path], None]) -> Arrays:
        """The arrays of `key` by name; `make` writes them as `.npy` files where there are none yet."""
        folder = self.made(key, make)
        return {path.stem: _load(path) for path in sorted(folder.glob("*.npy"))}

    def made(self, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of `key`, filled by `make` where it is not there yet."""
        final = self.folder / key
        if not final.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=f"{key}.new-", dir=self.folder))
            try:
                make(new)
                new.rename(final)
            except OSError:
                if not final.is_dir():  # else another run made it meanwhile
                    raise
            finally:
                shutil.rmtree(new, ignore_errors=True)
        return final


def save(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `<name>.npy`."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def save_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what is known of a folder's contents as `facts.json`."""
    (folder / "facts.json").write_text(json.dumps(dict(facts)), encoding="utf-8")


def load_facts(folder: Path) -> dict[str, Any]:
    """What `save_facts` wrote."""
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return facts


def _load(path: Path) -> NDArray[Any]:
    """An array; a large one is a plain view of a mapped file."""
    if path.stat().st_size < _MAPPED_BYTES:
        loaded: NDArray[Any] = np.load(path)
        return loaded
    return np.asarray(np.load(path, mmap_mode="r"))
