"""How contenders on disk are asked: effort by recall, warm, cold; and the cap of memory around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.disk.cap import capped
from bench.disk.peers.asking import Asked, K, main
from bench.disk.peers.contender import Float32s, Peer, Rows
from bench.disk.peers.pages import PAGE_BYTES, floor_s, forget, resident

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages in RAM are told by mincore")

EATER = "import sys; open(sys.argv[1], 'w').write('0'); kept = bytearray(b'x') * (256 << 20)"


class Scan(Peer):
    """Looks at the first rows, as many as the effort says; what it searches is a copy of the vectors."""

    efforts = (100, 400, 1_000)

    def build(self, vectors: Path, folder: Path, ram_bytes: int, n_threads: int) -> dict[str, float | str]:
        (folder / "copy.npy").write_bytes(vectors.read_bytes())
        return {"parameters": "none"}

    def open(self, folder: Path, ram_bytes: int) -> None:
        self._rows = np.load(folder / "copy.npy", mmap_mode="r")

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        return np.argsort(-(self._rows[:effort] @ query), kind="stable")[:k]

    def close(self) -> None:
        del self._rows


def _asked(folder: Path, n: int = 1_000, n_right: int = 400) -> tuple[Path, Path]:
    """Vectors whose nearest are among the first `n_right`, and queries."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((n, 8)).astype(np.float32)
    rows[n_right:] *= 0.001
    queries = rng.standard_normal((30, 8)).astype(np.float32)
    right = np.argsort(-(queries @ rows.T), axis=1)[:, :K]
    np.save(folder / "vectors.npy", rows)
    np.savez(folder / "asked.npz", queries=queries, askers=np.zeros(30, np.int32), right=right)
    return folder / "vectors.npy", folder / "asked.npz"


def _run(folder: Path, *arguments: object) -> dict[str, Any]:
    answer = folder / "answer.json"
    main(Scan(), [*map(str, arguments), "--answer", str(answer), "--ram-bytes", "1000000"])
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def test_a_contender_is_built_and_asked_with_the_cheapest_effort_that_reaches_the_target(tmp_path: Path) -> None:
    vectors, asked = _asked(tmp_path)
    index = tmp_path / "index"
    index.mkdir()
    assert _run(tmp_path, "build", "--folder", index, "--vectors", vectors)["parameters"] == "none"
    how = ("--asked", asked, "--target", 0.99, "--clients", 1, 3, "--seconds", 0.05)
    found = _run(tmp_path, "ask", "--folder", index, *how)
    assert [effort for effort, _ in found["tried"]] == [100, 400]
    assert found["effort"] == 400 and found["recall"] == 1.0
    assert found["warm"].keys() == found["cold"].keys() == {"1", "3"}
    assert found["cold"]["1"]["queries"] == found["cold"]["3"]["queries"] == 30
    assert found["cold"]["1"]["stayed"] <= 1.0 and found["cold"]["1"]["pages"] > 0


def test_recall_counts_answers_that_are_short_and_rows_that_are_none(tmp_path: Path) -> None:
    asked = Asked.read(_asked(tmp_path)[1])
    asked.right[0, 4:] = -1
    answers = [asked.right[0, :2], *asked.right[1:3]]
    assert asked.recall(answers) == pytest.approx(22 / 24)


def test_pages_of_a_file_are_counted_given_up_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(10 * PAGE_BYTES + 1))
    assert file.read_bytes() and len(resident(file)) == 11
    forget([file])
    stayed = resident(file)
    if len(stayed):
        pytest.skip("the file system keeps pages in RAM")
    assert floor_s([file], [np.array([2, 7])]) > 0
    assert set(resident(file).tolist()) >= {2, 7}


def test_a_process_that_needs_more_than_its_group_may_have_is_ended() -> None:
    with capped(64 << 20) as group:
        if group is None:
            pytest.skip("no control group can be made here")
        done = subprocess.run([sys.executable, "-c", EATER, str(group.entrance)], check=False)
    assert done.returncode == -9
    assert not group.entrance.parent.exists()
