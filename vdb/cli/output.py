"""What a command shows: text for people, or JSON for programs. The only file that writes to the terminal.

Text from a server or a directory may hold anything, so control characters and marks that turn the direction of writing
are shown as escapes: stored data cannot steer the operator's terminal.
"""

import json
import os
import re
from collections.abc import Iterable
from typing import Any, TextIO

from vdb.errors import VdbError

__all__ = ["Output", "printable"]

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def printable(text: str) -> str:
    """`text` on one line, with everything that could steer a terminal as an escape such as `\\x1b`."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class Output:
    """Standard output and standard error of one command. With `is_json` people's text is left out."""

    def __init__(self, out: TextIO, err: TextIO, *, is_json: bool = False) -> None:
        self._out, self._err, self.is_json = out, err, is_json

    def line(self, text: str = "") -> None:
        """A line for people."""
        if not self.is_json:
            self._write(self._out, printable(text))

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def document(self, value: Any) -> None:
        """The answer for programs: one JSON document on one line. `value` is of dicts, lists and structs of msgspec."""
        if self.is_json:
            import msgspec

            text = msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace")
            # What is unsafe stands within strings only, where JSON has an escape for it.
            self._write(self._out, _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

    def announce(self, text: str) -> None:
        """A line that is seen at once, whoever reads."""
        self._write(self._out, text)
        self._out.flush()

    def error(self, error: VdbError) -> None:
        """One line on standard error; with JSON the problem as a document there too."""
        self._write(self._err, f"vdb: {printable(str(error))}")
        if self.is_json:
            faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.problems]
            self._write(self._err, json.dumps({"code": error.code, "detail": error.detail, "errors": faults}))

    def flush(self) -> None:
        self._out.flush()

    def abandon(self) -> None:
        """Let the interpreter's last flush go nowhere: nobody reads any more."""
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self._out.fileno())

    def _write(self, stream: TextIO, text: str) -> None:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
