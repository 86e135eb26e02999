"""Rows of `bench/results/<workload>.json`: what was measured, with which code, where, and by which command."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vdb

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "numba", "lmdb")
PLACE = re.compile(r"(?<![\w./])/(?:home|root|tmp|var|work|mnt|srv|opt|usr|etc|Users|private|media)/[\w./+-]+")
"""Paths below folders that say whose machine it was; `/v1/collections` is none of them."""


def record(
    workload: str,
    figures: Mapping[str, Any],
    command: str,
    folder: Path = RESULTS,
    *,
    accelerator: Mapping[str, Any] | None = None,
    packages: Sequence[str] = (),
    releases: Mapping[str, str] | None = None,
) -> Path:
    """Append a row to `<folder>/<workload>.json`, a list of rows, oldest first; returns the file.

    A row names no place: of absolute paths in the command and in texts the last part stays.

    `accelerator` is what the figures were measured on, its name first; `packages` are those whose releases they depend
    on beside the usual ones; `releases` those of packages in the environments of peers.
    """
    path = folder / f"{workload}.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    rows.append(
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine() | ({"accelerator": dict(accelerator)} if accelerator else {}),
            "versions": versions() | {name: version_of(name) for name in packages} | dict(releases or {}),
            "command": command,
            "figures": dict(figures),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".json.new")
    rows[-1] = without_places(rows[-1])
    new.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
    return path


def without_places(value: Any) -> Any:
    """The value with every absolute path in its texts, at any depth, shortened to `PATH/<last part>`."""
    if isinstance(value, str):
        return PLACE.sub(lambda found: f"PATH/{found[0].rstrip('/').rpartition('/')[2]}", value)
    if isinstance(value, Mapping):
        return {without_places(key): without_places(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(one) for one in value]
    return value


def commit() -> dict[str, Any]:
    """The commit checked out, and whether tracked or new files differ from it; results themselves do not count."""
    changes = _git("status", "--porcelain", "--", ".", ":!bench/results")
    return {"id": _git("rev-parse", "HEAD") or "unknown", "is_dirty": bool(changes)}


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine."""
    return {
        "cpu": _first_field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "n_cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Releases of Python and of the packages that the figures depend on."""
    return {"python": platform.python_version(), "vdb": vdb.__version__} | {
        name: version_of(name) for name in _PACKAGES
    }


def version_of(package: str) -> str:
    """The release of an installed package, or `not installed`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _first_field(path: str, name: str) -> str:
    """The value of the first line `name : value` of a file of /proc; empty where there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
