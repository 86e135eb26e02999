"""Environments of peers: one virtual environment each, made from the package index the first time it is asked for.

They lie under `--cache`, in a folder named after what is installed, and can be deleted at any time.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.tenants.contender import LeftOut

__all__ = ["Environment", "environment"]

_READY = "ready"
_INSTALL_S = 900.0
_BASE = ("numpy",)
"""What every peer's program needs beside the peer."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A folder with an interpreter in it."""

    folder: Path

    @property
    def python(self) -> str:
        """The interpreter's path."""
        return str(self.folder / "bin" / "python")

    def program(self, name: str) -> str:
        """The path of a command that one of the packages brings."""
        return str(self.folder / "bin" / name)

    def versions(self) -> dict[str, str]:
        """Releases of all that is installed, by package as its own metadata spell it."""
        done = subprocess.run([self.python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
        pairs = (line.partition("==") for line in done.stdout.splitlines())
        return {name: release for name, _, release in pairs if release}

    def releases(self, requirements: Iterable[str]) -> dict[str, str]:
        """Releases of the packages that these requirements name, without those that came along."""
        asked = {_plain(re.split(r"[=<>~!\[ ;]", requirement, maxsplit=1)[0]) for requirement in requirements}
        return {package: release for package, release in self.versions().items() if _plain(package) in asked}


def _plain(package: str) -> str:
    """The name of a package as an index compares it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def environment(cache: Path, name: str, packages: Sequence[str]) -> Environment:
    """The environment of a peer with these requirements; made where it is not there yet.

    Raises LeftOut where it cannot be made; where a package cannot be installed, with the installer's last line.
    """
    wanted = (*_BASE, *packages)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join((version, *wanted)).encode()).hexdigest()[:10]
    made = Environment(cache / "environments" / f"{name}-{digest}")
    if (made.folder / _READY).exists():
        return made
    try:
        made.folder.parent.mkdir(parents=True, exist_ok=True)
        with made.folder.with_suffix(".lock").open("w") as lock:  # another run may be making it
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (made.folder / _READY).exists():
                _make(made, name, packages, wanted)
    except (OSError, subprocess.SubprocessError) as exc:
        raise LeftOut(f"no environment: {type(exc).__name__}: {exc}") from exc
    return made


def _make(made: Environment, name: str, packages: Sequence[str], wanted: Sequence[str]) -> None:
    shutil.rmtree(made.folder, ignore_errors=True)  # of a run that was stopped
    print(f"installing {' '.join(packages)} for {name}", file=sys.stderr, flush=True)
    venv.create(made.folder, with_pip=True, symlinks=True)
    command = [made.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise LeftOut(f"not installed within {_INSTALL_S:.0f} s") from exc
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        raise LeftOut(f"cannot be installed: {' '.join(said)}")
    (made.folder / _READY).touch()
