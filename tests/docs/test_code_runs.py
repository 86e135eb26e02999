"""Code in the documents runs, against a real server: Python blocks, and curl lines in a shell."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vdb.testing
from tests.docs.pages import blocks
from vdb.testing import RunningServer

ADDRESS = "http://127.0.0.1:8080"
FIRST_CURL_WITH_JSON = (7, 82)

# Stands for curl: stops at an error, and keeps the key or the lookup id that an answer shows, as the documents say.
SHELL = """
set -eu
curl() {
    answer=$(command curl -sS --fail-with-body "$@") || { echo "$answer"; exit 1; }
    case $answer in *'"key":"'*) ACME=${answer##*'"key":"'}; ACME=${ACME%%'"'*};; esac
    case $answer in *'"lookup_id":"'*) LOOKUP=${answer##*'"lookup_id":"'}; LOOKUP=${LOOKUP%%'"'*};; esac
    printf '%s\\n' "$answer"
}
"""


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with vdb.testing.server(compile_kernels=False) as running:
        yield running


def _run(code: str, server: RunningServer, names: dict[str, Any]) -> None:
    names["ADMIN_KEY"] = server.admin_key
    exec(compile(code.replace(ADDRESS, server.url), "document", "exec"), names)


def test_the_lines_of_the_readme_run(
    server: RunningServer, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("README.md", "python")
    assert len(code.splitlines()) <= 10
    server.admin().create_tenant("globex")
    payloads = [{"lang": "en"}, {"lang": "de"}, {"lang": "en"}]
    vectors = rng.standard_normal((3, 384)).astype(np.float32)
    _run(code, server, {"ids": ["a1", "a2", "a3"], "vectors": vectors, "payloads": payloads})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["a1", "a3"]
    (seen,) = server.client("globex").collection("docs").scroll(scope="visible")
    assert (seen.id, seen.owner) == ("a1", "acme")


def test_the_code_of_the_sdk_document_runs(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"DATA_DIR": tmp_path / "data"}
    for code in blocks("docs/sdk.md", "python"):
        _run(code, server, names)
    assert capsys.readouterr().out.splitlines()[-1] == "1"


def test_the_code_of_the_cache_document_runs(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for code in blocks("docs/cache.md", "python"):
        _run(code, server, names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "False True {'text': 'A cache.'}"
    assert printed[1] == "None below_bar 0.0" and printed[2] == "stored wrong"
    assert printed[3:] == ["False", "True", "False", "Once. Once."]


def test_the_code_of_the_documents_document_runs(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for code in blocks("docs/documents.md", "python"):
        _run(code, server, names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["returns.md created 2 ", "empty.txt failed 0 unreadable_document"]
    assert printed[2] == "['returns.md#1']"
    assert printed[3] == "[('returns.md#0', ['Returns'], True), ('returns.md#1', ['Refunds'], True)]"
    assert printed[4:] == ["unchanged", "['returns.md']", "2", "unchanged"]


def _curl_knows_json() -> bool:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        return False
    shown = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"curl (\d+)\.(\d+)", shown)
    return found is not None and (int(found[1]), int(found[2])) >= FIRST_CURL_WITH_JSON


@pytest.mark.skipif(not _curl_knows_json(), reason="needs bash, and curl 7.82 or later for --json")
@pytest.mark.parametrize("page", ["README.md", "docs/http-api.md"])
def test_the_curl_lines_run(page: str, server: RunningServer, tmp_path: Path) -> None:
    answers = _answers_of_curl(page, server, tmp_path)
    assert '"name":"notes"' in answers[0]
    assert '"sequence":1' in answers[2]
    found = [answer for answer in answers[3:] if not answer.startswith('{"set":')]
    assert found and all('"hits":[{"id":"a","owner":"acme","distance":0.0' in answer for answer in found)


@pytest.mark.skipif(not _curl_knows_json(), reason="needs bash, and curl 7.82 or later for --json")
def test_the_curl_lines_of_the_cache_document_run(server: RunningServer, tmp_path: Path) -> None:
    answers = _answers_of_curl("docs/cache.md", server, tmp_path)
    assert '"hit":null,"reason":"empty"' in answers[3]
    assert '"reason":"stored"' in answers[4]
    assert '"hit":"semantic"' in answers[5] and '"answer":{"text":"A cache."}' in answers[5]
    assert '"semantic_hits":1' in answers[6]


@pytest.mark.skipif(not _curl_knows_json(), reason="needs bash, and curl 7.82 or later for --json")
def test_the_curl_lines_of_the_documents_document_run(server: RunningServer, tmp_path: Path) -> None:
    answers = _answers_of_curl("docs/documents.md", server, tmp_path)
    assert '"id":"returns.md","status":"created","n_chunks":1,"n_embedded":1' in answers[2]
    assert '"hits":[{"id":"returns.md#0","owner":"acme"' in answers[3]
    assert '"text":"# Returns' in answers[4] and '"next_cursor":null' in answers[5]
    assert '"deleted":1,"n_chunks":1' in answers[6]


def _answers_of_curl(page: str, server: RunningServer, folder: Path) -> list[str]:
    """What the curl lines of a page print, one after the other."""
    lines = "".join(code for code in blocks(page, "sh") if "$URL" in code)
    assert lines.count("\ncurl ") >= 4
    done = subprocess.run(
        ["bash", "-c", SHELL + lines.replace(ADDRESS, server.url)],
        env={**os.environ, "ADMIN": server.admin_key},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
