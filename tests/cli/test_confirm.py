"""Commands that delete ask at a terminal, and need `--yes` elsewhere."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from vdb.cli.exit_codes import ExitCode
from vdb.testing import RunningServer


@pytest.fixture
def things(admin: Command, server: RunningServer) -> dict[str, str]:
    """One of each kind that can be deleted, by the group of its commands."""
    client = server.admin()
    have = {
        "collections": [made.name for made in client.collections()],
        "tenants": [made.name for made in client.tenants()],
        "backup": [made.name for made in client.backups()],
    }
    if not have["tenants"]:
        client.create_tenant("acme")
    if not have["collections"]:
        client.create_collection("docs", dimension=2)
    if not have["backup"]:
        client.create_backup("b")
    return {"collections": "docs", "tenants": "acme", "keys": client.create_key(role="service").id, "backup": "b"}


GROUPS = ("collections", "tenants", "keys", "backup")


def _is_there(admin: Command, group: str, name: str) -> bool:
    return admin(group, "show", name).code == ExitCode.OK


@pytest.mark.parametrize("group", GROUPS)
def test_without_a_terminal_nothing_is_deleted_unless_yes_is_given(
    admin: Command, things: dict[str, str], group: str
) -> None:
    ran = admin(group, "delete", things[group], typed="y\n")
    assert (ran.code, ran.out) == (ExitCode.USAGE, "") and "--yes" in ran.err
    assert _is_there(admin, group, things[group])
    assert admin(group, "delete", things[group], "--yes").code == ExitCode.OK
    assert not _is_there(admin, group, things[group])


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yess\n"])
def test_at_a_terminal_anything_but_yes_deletes_nothing(
    admin: Command, things: dict[str, str], group: str, answer: str
) -> None:
    ran = admin(group, "delete", things[group], typed=answer, at_terminal=True)
    assert (ran.code, ran.out) == (ExitCode.REFUSED, "") and things[group] in ran.err
    assert ran.err.endswith("vdb: nothing was changed\n")
    assert _is_there(admin, group, things[group])


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_at_a_terminal_yes_deletes(admin: Command, things: dict[str, str], group: str, answer: str) -> None:
    ran = admin(group, "delete", things[group], typed=answer, at_terminal=True)
    assert ran.code == ExitCode.OK and ran.err.endswith("[y/N] ")
    assert not _is_there(admin, group, things[group])


def test_the_question_cannot_steer_the_terminal(command: Command, tmp_path: Path) -> None:
    ran = command("backup", "delete", "\x1b[2J", "--backup-dir", str(tmp_path), typed="n\n", at_terminal=True)
    assert "\x1b" not in ran.err
