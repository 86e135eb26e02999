"""What the tests of commands share: one server per module, and a way to run a command against it."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import vdb.testing
from vdb.cli import main
from vdb.testing import RunningServer


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What `--json` gave."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.out.splitlines()]


Command = Callable[..., Ran]


class Terminal(io.StringIO):
    """Standard input, at which somebody may sit."""

    def __init__(self, text: str, *, is_terminal: bool) -> None:
        super().__init__(text)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with vdb.testing.server(compile_kernels=False, backup_dir=tmp_path_factory.mktemp("backups")) as running:
        yield running


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `vdb` with these words in a bare environment; `typed` is standard input, a terminal if `at_terminal`."""
    for name in ("VDB_URL", "VDB_API_KEY", "VDB_ADMIN_KEY", "VDB_DATA_DIR", "VDB_BACKUP_DIR", "VDB_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, typed: str = "", at_terminal: bool = False) -> Ran:
        monkeypatch.setattr("sys.stdin", Terminal(typed, is_terminal=at_terminal))
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return Ran(code, shown.out, shown.err)

    return run


@pytest.fixture
def admin(command: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`command` with the server and its admin key in the environment."""
    monkeypatch.setenv("VDB_URL", server.url)
    monkeypatch.setenv("VDB_API_KEY", server.admin_key)
    return command
