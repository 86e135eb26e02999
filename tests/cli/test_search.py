"""`vdb search`: where the vector comes from, what is shown, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command
from vdb.cli.exit_codes import ExitCode
from vdb.testing import RunningServer


@pytest.fixture
def search(admin: Command, server: RunningServer) -> Command:
    """`vdb search` in a collection of `acme` with three points."""
    client = server.admin()
    if not client.collections():
        client.create_collection("docs", dimension=3, metric="l2")
        payloads = [{"lang": "en"}, {"lang": "de"}, {"lang": "en"}]
        client.collection("docs", tenant="acme").upsert(["a", "b", "c"], np.eye(3), payloads=payloads)

    def run(*words: str, typed: str = "") -> object:
        return admin("search", "docs", "--tenant", "acme", *words, typed=typed)

    return run  # type: ignore[return-value]


def _ids(search: Command, *words: str, typed: str = "") -> list[str]:
    return [hit["id"] for hit in search(*words, "--json", typed=typed).document["hits"]]


def test_the_vector_comes_from_the_command_line_or_standard_input(search: Command) -> None:
    assert _ids(search, "--vector", "[0, 1, 0.5]") == ["b", "c", "a"]
    assert _ids(search, "--vector", "-", typed="[0, 0.5, 1]\n") == ["c", "b", "a"]


def test_the_vector_comes_from_a_file(search: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.array([[1, 0.5, 0], [0, 0.5, 1]], np.float64))
    np.save(tmp_path / "one.npy", np.array([0, 1, 0.5], np.float16))
    assert _ids(search, "--npy", str(tmp_path / "many.npy"))[0] == "a"
    assert _ids(search, "--npy", str(tmp_path / "many.npy"), "--row", "1")[0] == "c"
    assert _ids(search, "--npy", str(tmp_path / "one.npy"))[0] == "b"


def test_a_search_is_bounded_and_filtered(search: Command) -> None:
    assert _ids(search, "--vector", "[1, 0, 0]", "--limit", "2") == ["a", "b"]
    assert _ids(search, "--vector", "[1, 0, 0]", "--max-distance", "0.1") == ["a"]
    assert _ids(search, "--vector", "[1, 0, 0]", "--filter", '{"field": "lang", "eq": "de"}') == ["b"]


def test_a_table_shows_what_was_asked_for(search: Command) -> None:
    ran = search("--vector", "[1, 0, 0]", "--limit", "1", "--with-vector", "--explain")
    assert ran.rows[:2] == [
        ["id", "owner", "distance", "version", "payload", "vector"],
        ["a", "acme", "0", "1", '{"lang":"en"}', "[1.0,0.0,0.0]"],
    ]
    assert ran.rows[2] == ["explain:"]
    shown = ran.out.partition("explain:\n")[2].splitlines()
    assert [line.split()[:2] for line in shown[:2]] == [["path", "exact"], ["reason", "small"]]
    assert search("--vector", "[1, 0, 0]", "--limit", "1", "--no-payload").rows[0][-1] == "version"
    assert search("--vector", "[1, 0, 0]", "--max-distance", "-1").out in ("no hits\n", "")


def test_a_search_says_how_far_it_goes(search: Command) -> None:
    vector = ("--vector", "[1, 0, 0]")
    assert search(*vector, "--exact", "--explain", "--json").document["explain"]["reason"] == "asked for"
    assert _ids(search, *vector, "--recall", "0.9", "--budget", "100", "--rerank", "20") == ["a", "b", "c"]
    refused = search(*vector, "--exact", "--recall", "0.9")
    assert (refused.code, refused.err) == (ExitCode.REFUSED, "vdb: an exact search has no recall\n")
    assert search(*vector, "--recall", "most").code == ExitCode.USAGE


def test_json_is_that_of_the_api(search: Command) -> None:
    found = search("--vector", "[1, 0, 0]", "--limit", "1", "--with-vector", "--json").document
    assert found == {
        "sequence": 1,
        "hits": [
            {
                "id": "a",
                "owner": "acme",
                "distance": 0.0,
                "version": 1,
                "payload": {"lang": "en"},
                "vector": [1.0, 0.0, 0.0],
            }
        ],
    }


@pytest.mark.parametrize("vector", ["", "x", "1", "{}", "[]", "[[1, 0, 0]]", '["1"]', "[true]", "[NaN]", "[1e999]"])
def test_what_is_no_vector_is_wrong_usage(search: Command, vector: str) -> None:
    for words, typed in ((("--vector", vector), ""), (("--vector", "-"), vector)):
        ran = search(*words, typed=typed)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (ExitCode.USAGE, "", 1)


def test_a_vector_of_another_dimension_is_refused(search: Command) -> None:
    ran = search("--vector", "[1, 0]", "--json")
    assert ran.code == ExitCode.REFUSED and '"code": "dimension_mismatch"' in ran.err


def test_what_is_no_file_of_vectors_is_wrong_usage(search: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    np.savez(tmp_path / "zip.npy.npz", a=np.zeros(3))
    (tmp_path / "text.npy").write_text("[1, 0, 0]")
    (tmp_path / "empty.npy").write_bytes(b"")
    whole = (tmp_path / "cube.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-8])
    (tmp_path / "huge.npy").write_bytes(whole.replace(b"(2, 2, 2)", b"(2 << 60,)"))
    names = sorted(path.name for path in tmp_path.iterdir())
    for name in [*names, "nothing.npy", "."]:
        ran = search("--npy", str(tmp_path / name))
        assert (ran.code, len(ran.err.splitlines())) == (ExitCode.USAGE, 1), (name, ran)


@pytest.mark.parametrize("row", ["-1", "2"])
def test_a_row_that_is_not_there_is_wrong_usage(search: Command, tmp_path: Path, row: str) -> None:
    np.save(tmp_path / "two.npy", np.zeros((2, 3)))
    assert search("--npy", str(tmp_path / "two.npy"), "--row", row).code == ExitCode.USAGE


def test_a_key_for_many_tenants_needs_one_named(admin: Command, search: Command) -> None:
    ran = admin("search", "docs", "--vector", "[1, 0, 0]")
    assert ran.code == ExitCode.REFUSED and "--tenant" in ran.err
