"""The rows put aside: a JSON Lines file beside the source, one object per row with number, reason and what it held."""

from pathlib import Path
from typing import Any

import msgspec

from vdb.errors import InvalidArgument
from vdb.transfer.rows import Rejected

MAX_VALUE_BYTES = 16 << 10
"""What is shown of a row; a longer one is text that ends in `…`."""


class Rejects:
    """Appends to the file, which is made with the first row. Used by one thread; `close` it.

    `n_bytes` is what the file is known to hold from a run before; anything after it was written before a kill and
    comes again, so it is cut off.
    """

    def __init__(self, path: Path, unit: str, n_bytes: int) -> None:
        self.path, self._unit = path, unit
        self.n_bytes = n_bytes
        self._file: Any = None
        try:
            if n_bytes:
                self._file = path.open("r+b")
                self._file.truncate(n_bytes)
                self._file.seek(n_bytes)
            elif path.exists():
                self._check_ours(path)
                path.unlink()
        except OSError as exc:
            raise self._refusal(exc) from exc

    def write(self, rejected: list[Rejected]) -> None:
        """Append rows; they are in the file when this returns. Raises InvalidArgument."""
        if not rejected:
            return
        text = b"".join(self._line(entry) for entry in rejected)
        try:
            if self._file is None:
                self._file = self.path.open("wb")
            self._file.write(text)
            self._file.flush()
        except OSError as exc:
            raise self._refusal(exc) from exc
        self.n_bytes += len(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _line(self, entry: Rejected) -> bytes:
        shape: dict[str, Any] = {self._unit: entry.number, "reason": entry.reason[:500]}
        if entry.value is not None:
            shape["value"] = _bounded(entry.value)
        return msgspec.json.encode(shape, enc_hook=str) + b"\n"

    def _check_ours(self, path: Path) -> None:
        """Refuse to replace a file that no import has made."""
        with path.open("rb") as file:
            head = file.read(8)
        if head and not head.startswith((b'{"line":', b'{"row":')):
            raise InvalidArgument(f"{path} is there, and is no list of rejected rows: --rejected names another file")

    def _refusal(self, exc: OSError) -> InvalidArgument:
        return InvalidArgument(f"{self.path}, for rejected rows, cannot be written: {exc.strerror}")


def _bounded(value: Any) -> Any:
    try:
        text = msgspec.json.encode(value, enc_hook=str)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    if len(text) <= MAX_VALUE_BYTES:
        return msgspec.Raw(text)
    return text[:MAX_VALUE_BYTES].decode("utf-8", "ignore") + "…"
