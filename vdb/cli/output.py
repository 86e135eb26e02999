"""What a command shows: text for people, or JSON for programs. The only file that writes to the terminal.

Text from a server or a directory may hold anything: `vdb.cli.printable` makes it safe, here and nowhere else for lines.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from vdb.cli.printable import UNSAFE, printable
from vdb.errors import StorageFailure, VdbError

__all__ = ["Output"]


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

    def piece(self, text: str) -> None:
        """A piece of a longer text for people, as it comes: seen at once, without a line's end of its own."""
        if self.is_json:
            return
        encoding = self._out.encoding or "utf-8"
        safe = "\n".join(map(printable, text.split("\n")))
        with _translated():
            self._out.write(safe.encode(encoding, "backslashreplace").decode(encoding))
            self._out.flush()

    def document(self, value: Any) -> None:
        """The answer for programs: one JSON document on one line. `value` is of dicts, lists and structs of msgspec."""
        if self.is_json:
            from vdb.cli.table import json_text

            text = json_text(value)
            # What is unsafe stands within strings only, where JSON has an escape for it.
            self._write(self._out, UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

    def record(self, item: Any) -> None:
        """One struct: its fields for people, itself for programs."""
        self.document(item)
        if not self.is_json:
            from vdb.cli.table import record

            self.lines(record(item))

    def listing(self, name: str, items: Sequence[Any], columns: Sequence[str], **more: Any) -> None:
        """Structs of one kind, as a table for people; for programs all of them under `name`, as the API says it.

        `more` is what a program is told besides.
        """
        self.document({**more, name: list(items)})
        if not self.is_json:
            from vdb.cli.table import table

            self.lines(table(items, columns, self._width()) if items else [f"no {name}"])

    def announce(self, text: str) -> None:
        """A line that is seen at once, whoever reads."""
        self._write(self._out, text)
        self._out.flush()

    def ask(self, question: str) -> None:
        """A question on standard error, which the person at the terminal answers on the same line."""
        self._err.write(printable(question))
        self._err.flush()

    def note(self, text: str) -> None:
        """A line on standard error."""
        self._write(self._err, f"vdb: {printable(text)}")
        self._err.flush()

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches what is shown."""
        return self._out.isatty()

    @property
    def is_drawn(self) -> bool:
        """Whether standard error is a terminal, on which a line can be drawn over."""
        return self._err.isatty()

    def draw(self, text: str) -> None:
        """Progress on standard error, as it is: the caller's own words and numbers, nothing stored."""
        self._err.write(text)
        self._err.flush()

    def error(self, error: VdbError) -> None:
        """One line on standard error; with JSON the problem as a document there too."""
        self.note(error.detail)
        if self.is_json:
            faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.problems]
            self._write(self._err, json.dumps({"code": error.code, "detail": error.detail, "errors": faults}))

    def flush(self) -> None:
        """Raises StorageFailure where the output cannot be written."""
        with _translated():
            self._out.flush()

    def abandon(self) -> None:
        """Let the interpreter's last flush go nowhere: nobody reads any more."""
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self._out.fileno())

    def _width(self) -> int | None:
        """Columns of the terminal; None where there is none."""
        return shutil.get_terminal_size().columns if self._out.isatty() else None

    def _write(self, stream: TextIO, text: str) -> None:
        encoding = stream.encoding or "utf-8"
        with _translated():
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


@contextmanager
def _translated() -> Iterator[None]:
    """A reader that has left stays a BrokenPipeError; a full disk is an error like others."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise StorageFailure(f"cannot write the output: {exc.strerror}") from exc
