"""Packaging: the package list matches the tree, the lock is exact and names no index, CI runs what a person runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

from tests.house.sources import PACKAGED, ROOT

PIN = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][^\s;]*( ; .+)?")


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _lock_lines() -> list[str]:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()


def _package(folder: Path) -> str:
    name = ".".join(folder.relative_to(ROOT).parts)
    return re.sub(r"^api\b", "vdb_api", name)


def _canonical(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def test_the_package_list_names_every_package_of_the_tree() -> None:
    in_tree = {_package(path.parent) for folder in PACKAGED for path in (ROOT / folder).rglob("*.py")}
    assert _pyproject()["tool"]["setuptools"]["packages"] == sorted(in_tree)


def test_the_lock_holds_exact_versions_and_nothing_else() -> None:
    assert [line for line in _lock_lines() if not PIN.fullmatch(line)] == []


def test_the_lock_names_no_address_and_no_hash() -> None:
    assert [line for line in _lock_lines() if "://" in line or "--" in line or "@" in line] == []


def test_the_lock_holds_everything_that_serving_and_testing_name() -> None:
    project = _pyproject()["project"]
    named = {_canonical(text) for text in project["dependencies"] + project["optional-dependencies"]["test"]}
    assert named - {line.split("==")[0] for line in _lock_lines()} == set()


def test_ci_runs_check_and_test_and_nothing_else() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert commands == ["#!/usr/bin/env bash", "set -eu", 'cd "$(dirname "$0")/.."', "make check test"]
