"""`vdb completion`: scripts that shells take, and that complete commands, options, values and file names."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.docs.test_commands import COMMANDS

ASK = """
eval "$SCRIPT"
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1))
_shtab_vdb
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(("shell", "checks"), [("bash", "bash"), ("zsh", "zsh")])
def test_a_shell_takes_its_script(command: Command, shell: str, checks: str) -> None:
    script = command("completion", shell)
    assert script.code == 0
    assert all(word in script.out for name in COMMANDS for word in name.split())
    if shutil.which(checks) is None:
        pytest.skip(f"needs {checks}")
    run = subprocess.run([checks, "-n"], input=script.out, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_tcsh_gets_a_script_of_its_own(command: Command) -> None:
    assert "complete vdb" in command("completion", "tcsh").out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["vdb", "ke"], ["keys"]),
        (["vdb", "keys", "cr"], ["create"]),
        (["vdb", "keys", "create", "--ro"], ["--role"]),
        (["vdb", "keys", "create", "--role", "ad"], ["admin"]),
        (["vdb", "search", "--npy", "que"], ["queries.npy"]),
    ],
)
def test_bash_completes(command: Command, tmp_path: Path, words: list[str], completions: list[str]) -> None:
    (tmp_path / "queries.npy").touch()
    script = command("completion", "bash").out
    ask = ASK.format(words=" ".join(words), count=len(words))
    run = subprocess.run(
        ["bash", "-c", ask],
        env={"SCRIPT": script, "PATH": "/bin:/usr/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == completions


def test_json_holds_the_script(command: Command) -> None:
    document = command("completion", "bash", "--json").document
    assert document["shell"] == "bash" and document["script"].rstrip() == command("completion", "bash").out.rstrip()
