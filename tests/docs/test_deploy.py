"""The files of deploy/: what they copy and name exists, and the container and the unit keep what they promise."""

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sources import ROOT
from vdb.cli.parser import parse
from vdb.config import CONFIG_VARIABLE, Settings
from vdb_api import metrics, server

DEPLOY = ROOT / "deploy"
INSTRUCTIONS = {
    "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT",
    "CMD",
}  # fmt: skip
VARIABLES = {f"VDB_{name.upper()}" for name in Settings.__dataclass_fields__} | {CONFIG_VARIABLE}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines()]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]


def value_of(word: str) -> str:
    (value,) = [rest for name, rest in final_stage() if name == word]
    return value


def copied() -> Iterator[str]:
    """What the Dockerfile takes from the repository."""
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            yield from rest.split()[:-1]


def test_the_dockerfile_has_instructions_that_docker_knows() -> None:
    assert {word for word, _ in instructions()} <= INSTRUCTIONS
    assert sum(word == "FROM" for word, _ in instructions()) == 2


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules and not any(fnmatch.fnmatch("data", name) for name in kept)
    assert {name for name in copied() if not (ROOT / name).exists()} == set()
    assert set(copied()) == kept


def test_the_container_runs_as_a_number_that_is_not_root() -> None:
    words = [word for word, _ in final_stage()]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", value_of("USER"))
    assert max(words.index("RUN"), words.index("COPY")) < words.index("USER") < words.index("CMD")


def test_the_container_stops_is_checked_and_keeps_its_data() -> None:
    assert value_of("STOPSIGNAL") == "SIGTERM"
    assert value_of("EXPOSE") == str(Settings().port)
    assert set(json.loads(value_of("VOLUME"))) == {"/data", "/backups"}
    check = json.loads(value_of("HEALTHCHECK").split("CMD", 1)[1])
    assert parse(check[1:]).run and check[0] == "vdb"
    assert parse([*json.loads(value_of("ENTRYPOINT")), *json.loads(value_of("CMD"))][1:]).run


def test_the_image_holds_no_secret_and_names_settings_that_exist() -> None:
    given = dict(pair.split("=", 1) for word, rest in final_stage() if word == "ENV" for pair in rest.split())
    named = {name for name in given if name.startswith("VDB_")}
    assert named <= VARIABLES and not any("KEY" in name for name in named)
    assert Settings.load(None, {name: given[name] for name in named}).settings.host == "0.0.0.0"


@pytest.mark.parametrize("name", ["compose.yaml", "vdb.service"])
def test_settings_named_in_the_examples_exist(name: str) -> None:
    named = set(re.findall(r"\bVDB_[A-Z_]+\b", (DEPLOY / name).read_text(encoding="utf-8")))
    assert named and named <= VARIABLES


def unit() -> dict[str, list[str]]:
    """The directives of the unit, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "vdb.service").read_text(encoding="utf-8").splitlines():
        name, is_pair, value = line.partition("=")
        if is_pair and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_is_confined_and_has_time_to_stop() -> None:
    directives = unit()
    assert directives["User"] != ["root"]
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"):
        assert directives[name] == ["yes"]
    assert directives["ProtectSystem"] == ["strict"]
    assert "MemoryDenyWriteExecute" not in directives  # numba compiles
    assert int(directives["TimeoutStopSec"][0]) > 2 * server._GRACE_S
    assert (directives["KillSignal"], directives["Restart"]) == (["SIGTERM"], ["on-failure"])


def test_the_unit_writes_below_folders_that_systemd_makes() -> None:
    directives = unit()
    places = dict(pair.split("=", 1) for pair in directives["Environment"])
    assert directives["StateDirectory"] == directives["LogsDirectory"] == directives["CacheDirectory"] == ["vdb"]
    for name, folder in (
        ("DATA_DIR", "/var/lib/vdb/"),
        ("BACKUP_DIR", "/var/lib/vdb/"),
        ("AUDIT_LOG", "/var/log/vdb/"),
    ):
        assert places[f"VDB_{name}"].startswith(folder)
    (command,) = directives["ExecStart"]
    assert parse(command.split()[1:]).run


def test_alerts_are_about_metrics_that_exist() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (Path(metrics.__file__), ROOT / "vdb" / "engine" / "figures.py")
    )
    expressions = re.findall(r"expr: (.+)", (DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
    names = {re.sub(r"_bucket$", "", name) for text in expressions for name in re.findall(r"\bvdb_\w+", text)}
    assert names and {name for name in names if f'"{name}"' not in sources} == set()


def test_settings_files_in_the_document_load(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        assert set(tomllib.loads(block)) <= set(Settings.__dataclass_fields__)
