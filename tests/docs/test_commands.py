"""Every command and option stands in docs/cli.md, nothing there is made up, and its examples run on a real server."""

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import vdb.testing
from tests.docs.pages import text_of
from tests.storage.damage import golden_copy
from vdb.cli import main
from vdb.cli.exit_codes import ExitCode
from vdb.cli.parser import build, parse
from vdb.config import Settings
from vdb.layered import flag_of

PAGE = "docs/cli.md"
A_KEY = "key-0123456789abcdef01234567"

SETTINGS = {flag_of(field.name) for field in fields(Settings)} | {
    f"--no-{flag_of(field.name)[2:]}" for field in fields(Settings) if isinstance(field.default, bool)
}
"""The options of `vdb serve` that stand in docs/settings.md."""


def _commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Every command that runs, such as "keys list", and its options."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, child in (pair for group in groups for pair in group.choices.items()):
        yield from _commands(child, (*path, name))
    if not groups:
        options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
        yield " ".join(path), options - {"--help"} - (SETTINGS if path == ("serve",) else set())


COMMANDS = dict(_commands(build()))


def _sections() -> dict[str, str]:
    """The text under each heading, without the marks of code in the heading."""
    parts = re.split(r"^## (.*)$", text_of(PAGE), flags=re.MULTILINE)
    return {"": parts[0]} | {
        heading.strip("`").removeprefix("vdb "): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def _options(section: str) -> set[str]:
    """The options that have a row."""
    return {re.split(r"[` ]", line[3:])[0] for line in section.splitlines() if line.startswith("| `--")}


def _lines(section: str) -> list[str]:
    """The lines of the shell blocks of a section that run a command."""
    code = "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    return [line for line in code.splitlines() if "vdb " in line and not line.startswith("export ")]


def _words(line: str) -> list[str]:
    """What stands behind `vdb`, up to a pipe or a redirection."""
    words = shlex.split(line, comments=True)
    words = words[words.index("vdb") + 1 :]
    return words[: next((i for i, word in enumerate(words) if word in ("|", ">")), len(words))]


SECTIONS = _sections()
SHARED = _options(SECTIONS["Options of many commands"])


def test_every_command_has_its_section_and_no_other_has() -> None:
    assert set(SECTIONS) - {"", "Options of many commands"} == set(COMMANDS)


def test_every_shared_option_is_of_several_commands() -> None:
    assert [option for option in SHARED if sum(option in options for options in COMMANDS.values()) < 2] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_the_section_of_its_command(command: str) -> None:
    own = _options(SECTIONS[command])
    assert own <= COMMANDS[command]
    assert COMMANDS[command] <= own | SHARED


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_the_parser_takes(command: str) -> None:
    examples = [_words(line) for line in _lines(SECTIONS[command])]
    assert any(words[: len(command.split())] == command.split() for words in examples)
    assert all(callable(parse(words).run) for words in examples)


def test_every_exit_code_stands() -> None:
    table = re.findall(r"^\| (\d+) \| ", text_of(PAGE), re.MULTILINE)
    assert [int(code) for code in table] == sorted(ExitCode)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From the top of the page to its end, but for `serve`, lines of which the shell does a part, and the tuning of an
    index, which a small collection has none of."""
    monkeypatch.chdir(tmp_path)
    golden_copy(tmp_path / "data")
    np.save("queries.npy", np.eye(8, 3, dtype=np.float32))
    Path("handbook").mkdir()
    Path("handbook/returns.md").write_text("# Returns\n\nPrint the label.")
    Path("rows.jsonl").write_text('{"id": "a", "vector": [1, 0, 0]}')
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    Path("theirs.trec").write_text("q1 Q0 d2 1 0.9 theirs\nq1 Q0 d1 2 0.8 theirs\n")
    with vdb.testing.server(compile_kernels=False, backup_dir=tmp_path / "of-the-server") as server:
        server.admin().create_tenant("globex")
        monkeypatch.setenv("VDB_URL", server.url)
        monkeypatch.setenv("VDB_PORT", server.url.rpartition(":")[2])
        monkeypatch.setenv("VDB_API_KEY", server.admin_key)
        key_id = server.admin().create_key(role="service").id
        lines = [line for section in SECTIONS.values() for line in _lines(section)]
        for line in lines:
            if not line.startswith(("vdb serve", "vdb collections tune")) and not re.search(r" [|>] ", line):
                assert main([word.replace(A_KEY, key_id) for word in _words(line)]) == 0, (line, capsys.readouterr())
