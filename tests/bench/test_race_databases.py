"""Databases in races: closed where another process is to open them, timed until the first answer after a restart."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.race.entries import DATABASES, start_of, versions_of
from bench.race.environments import Environment
from bench.race.ours_database import OursDatabase
from bench.race.peers.contender import Contender, Float32s, Rows
from bench.race.peers.serving import Runner
from bench.race.peers.stored import N_GROUPS, Stored, payload
from bench.race.process import PEERS_FOLDER

OURS_FOLDERS = (PEERS_FOLDER, PEERS_FOLDER.parent / "disk", PEERS_FOLDER.parent / "cache" / "peers")


class _File(Stored):
    """Finds by reading all; what it does is noted."""

    settings = ("all",)

    def __init__(self) -> None:
        self.done: list[str] = []

    def fill(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        np.save(folder / "all.npy", vectors)
        self.open(folder)
        return "plain"

    def open(self, folder: Path) -> None:
        self.done.append("open")
        self._vectors: Float32s = np.load(folder / "all.npy")

    def aim(self, setting: str) -> None:
        self.done.append(setting)

    def search(self, query: Float32s, k: int) -> Rows:
        self.done.append("search")
        return np.argsort(((self._vectors - query) ** 2).sum(1))[:k]

    def shut(self) -> None:
        self.done.append("shut")
        del self._vectors


@pytest.fixture
def vectors() -> Float32s:
    drawn = np.random.default_rng(3).standard_normal((1_200, 12)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def test_files_are_closed_by_save_and_open_again_with_the_next_setting(tmp_path: Path, vectors: Float32s) -> None:
    contender = _File()
    contender.build(vectors, "l2", tmp_path, 1)
    contender.use("all")
    assert contender.save(tmp_path)
    contender.use("all")
    assert contender.done == ["open", "all", "shut", "open", "all"]
    assert contender.search(vectors[7], 1).tolist() == [7]


def test_a_restart_lasts_until_the_first_answer(tmp_path: Path, vectors: Float32s) -> None:
    first, second = _File(), _File()
    first.build(vectors, "l2", tmp_path, 1)
    first.save(tmp_path)
    np.save(tmp_path / "vectors.npy", vectors)
    found = Runner(second).actions["load"]({"folder": tmp_path, "vectors": tmp_path / "vectors.npy", "k": 1})
    assert second.done == ["open", "all", "search"]
    assert found["restart s"] >= found["first search s"] > 0
    assert found["first hits"] == 1


def test_what_is_closed_is_closed_once(tmp_path: Path, vectors: Float32s) -> None:
    contender = _File()
    contender.build(vectors, "l2", tmp_path, 1)
    contender.close()
    contender.close()
    assert contender.done.count("shut") == 1


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_ours_finds_its_points_again_after_a_restart(metric: str, tmp_path: Path, vectors: Float32s) -> None:
    contender: Contender = OursDatabase()
    assert "tier memory" in contender.build(vectors, metric, tmp_path, 1)
    contender.save(tmp_path)
    reopened = OursDatabase()
    reopened.load(tmp_path)
    reopened.use(reopened.settings[-1])
    assert [reopened.search(vector, 10)[0] for vector in vectors[:20]] == list(range(20))
    reopened.close()


def test_payloads_are_of_so_many_groups() -> None:
    assert len({payload(row) for row in range(3 * N_GROUPS)}) == N_GROUPS


def test_entries_of_one_library_share_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Made(Environment):
        def versions(self) -> dict[str, str]:
            return {"lancedb": "1.0", "numpy": "2.0"}

    def made(cache: Path, name: str, packages: tuple[str, ...]) -> Made:
        asked.append(name)
        return Made(cache)

    monkeypatch.setattr("bench.race.entries.environment", made)
    starts = [start_of(name, DATABASES[name], tmp_path).arguments for name in ("lancedb-pq", "lancedb-hnsw")]
    assert starts == [("-m", "peers.lance_table", "pq"), ("-m", "peers.lance_table", "hnsw")]
    assert versions_of("lancedb-pq", DATABASES["lancedb-pq"], tmp_path) == {"lancedb": "1.0"}
    assert set(asked) == {"lancedb"}


@pytest.mark.parametrize("folder", OURS_FOLDERS, ids=lambda folder: folder.name)
def test_no_module_hides_one_of_pythons_own_from_a_peer(folder: Path) -> None:
    """`bench/cache/http.py` did, when GPTCache ran in its folder."""
    assert {path.stem for path in folder.iterdir()} & sys.stdlib_module_names == set()
