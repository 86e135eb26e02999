"""SHA-256 of a file that a user brought, reckoned once for each size and time of change."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from bench.tenants.contender import LeftOut
from bench.tenants.store import Store

__all__ = ["sha256"]

_WORD = re.compile(r"[0-9a-fA-F]{64}")


def sha256(path: Path, store: Store) -> str:
    """The digest, hexadecimal. Raises LeftOut where the file cannot be read, or `<file>.sha256` beside it differs."""
    try:
        digest = _digest(path.resolve(), store)
        expected = path.with_name(f"{path.name}.sha256")
        stated = expected.read_text(encoding="utf-8", errors="replace").strip() if expected.exists() else ""
    except OSError as exc:
        raise LeftOut(f"{path} cannot be read: {exc.strerror}") from exc
    if not expected.exists():
        return digest
    word = stated.partition(" ")[0]
    if _WORD.fullmatch(word) is None:
        raise LeftOut(f"{expected} does not begin with a SHA-256 digest")
    if word.lower() != digest:
        raise LeftOut(
            f"{path} is damaged or another file: its SHA-256 is {digest}, {expected.name} says {word.lower()}"
        )
    return digest


def _digest(path: Path, store: Store) -> str:
    """From what is kept in the store, where the file has not changed since."""
    about = path.stat()
    seen = {"size": about.st_size, "changed": about.st_mtime_ns}
    kept = store.folder / "checksums" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    found = _kept(kept)
    if {name: found.get(name) for name in seen} == seen:
        return str(found["sha256"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept.parent.mkdir(parents=True, exist_ok=True)
    new = kept.with_suffix(".new")
    new.write_text(json.dumps(seen | {"sha256": digest}), encoding="utf-8")
    new.replace(kept)
    return digest


def _kept(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
