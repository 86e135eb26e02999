"""Every command and option stands in docs/cli.md, with a line that the parser takes, and nothing there is made up."""

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields

import pytest

from tests.docs.pages import text_of
from vdb.cli.exit_codes import ExitCode
from vdb.cli.parser import build, parse
from vdb.config import Settings
from vdb.layered import flag_of

PAGE = "docs/cli.md"

SETTINGS = {flag_of(field.name) for field in fields(Settings)} | {
    f"--no-{flag_of(field.name)[2:]}" for field in fields(Settings) if isinstance(field.default, bool)
}
"""The options of `vdb serve` that stand in docs/settings.md."""


def _commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Every command that runs, such as "keys list", and its own options."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, child in (pair for group in groups for pair in group.choices.items()):
        yield from _commands(child, (*path, name))
    if not groups:
        options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
        yield " ".join(path), options - {"--help", "--json"} - (SETTINGS if path == ("serve",) else set())


COMMANDS = dict(_commands(build()))


def _sections() -> dict[str, str]:
    """The text under each heading that names a command."""
    parts = re.split(r"^## `vdb ([a-z ]+)`$", text_of(PAGE), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _lines(section: str) -> list[list[str]]:
    """The command lines in the shell blocks of a section, as words."""
    code = "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in code.splitlines() if "vdb " in line]


def test_every_command_has_its_section_and_no_other_has() -> None:
    assert set(_sections()) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_the_section_of_its_command(command: str) -> None:
    rows = [line for line in _sections()[command].splitlines() if line.startswith("| `--")]
    assert {re.split(r"[` ]", row[3:])[0] for row in rows} == COMMANDS[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_the_parser_takes(command: str) -> None:
    words = [line[line.index("vdb") + 1 :] for line in _lines(_sections()[command])]
    assert any(line[: len(command.split())] == command.split() for line in words)
    assert all(callable(parse(line).run) for line in words)


def test_every_exit_code_stands() -> None:
    table = re.findall(r"^\| (\d+) \| ", text_of(PAGE), re.MULTILINE)
    assert [int(code) for code in table] == sorted(ExitCode)
