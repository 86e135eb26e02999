"""A build that was ended goes on from what it had done; what does not fit is done anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import TENANTS, Books
from vdb.engine import build_stages
from vdb.engine.build_stages import BuildStages, Gathered
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.training import train
from vdb.index.kmeans import unasked
from vdb.index.spann.deepening import deepened
from vdb.kernels import current
from vdb.kernels.reference import UInt32s
from vdb.storage.arrays import load_arrays, save_arrays
from vdb.storage.keyspace import META_INDEX_BUILD
from vdb.storage.meta import write_number
from vdb.types import Metric

Cut = tuple[Model, UInt32s]


@pytest.fixture
def stages(books: Books, tmp_path: Path) -> Iterator[BuildStages]:
    books.add(30, shared=("globex", "*"))
    books.shard.queue.submit(lambda group: group.keep_changes(), 0).result()
    made = BuildStages(tmp_path / "build", books.shard.collection, books.shard.queue)
    yield made
    made.remove()


def again(stages: BuildStages, books: Books) -> BuildStages:
    """As the next process has them."""
    stages.close()
    return BuildStages(stages._folder, books.shard.collection, books.shard.queue)


def cut_of(given: Gathered) -> Cut:
    rows = given.sample(1)
    model = train(rows, len(rows), Metric.L2, Encoding(Form.LVQ8, rows.shape[1]))
    return deepened(model, rows, current(), limit=16)


def never(*_: Any) -> Any:
    raise AssertionError("it was done before")


def test_points_are_read_once(stages: BuildStages, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stages.gathered(books.shard.env, unasked)
    assert len(first.pids) == len(books.points) and stages.stage == "reading points"
    owners = {tenant: sum(owner == tenant for owner, _ in books.points) for tenant in TENANTS}
    assert sorted(np.unique(first.owners, return_counts=True)[1].tolist()) == sorted(n for n in owners.values() if n)
    n_shared = sum(len(shared) for _, shared in books.points.values())
    vectors = np.array(first.vectors.rows[: len(first.pids)])
    books.add(3)
    monkeypatch.setattr(build_stages, "read_points", never)
    second = again(stages, books).gathered(books.shard.env, unasked)
    assert second.sequence == first.sequence
    for name in ("pids", "owners", "expires_at_ms", "tenants", "starts", "pairs"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    np.testing.assert_array_equal(second.vectors.rows[: len(vectors)], vectors)
    assert len(first.pairs) == n_shared


def test_the_tree_is_made_once(stages: BuildStages, books: Books) -> None:
    given = stages.gathered(books.shard.env, unasked)
    model, cells = stages.deepened(given, lambda: cut_of(given))
    assert stages.stage == "clustering"
    stages = again(stages, books)
    given = stages.gathered(books.shard.env, unasked)
    found, same = stages.deepened(given, never)
    np.testing.assert_array_equal(same, cells)
    np.testing.assert_array_equal(found.centroid, model.centroid)
    np.testing.assert_array_equal(found.node_codes, model.node_codes)


@pytest.mark.parametrize("what", ["build", "log", "vectors", "points", "collection"])
def test_points_that_do_not_fit_are_gathered_anew(
    stages: BuildStages, books: Books, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = stages.gathered(books.shard.env, unasked)
    stages.deepened(first, lambda: cut_of(first))
    books.add(5)
    path = stages._folder / "points.vdb"
    queue = books.shard.queue
    if what == "build":
        queue.submit(lambda group: write_number(group.txn, META_INDEX_BUILD, 5), 0).result()
    elif what == "log":
        queue.submit(lambda group: group.stop_changes(), 0).result()
        queue.submit(lambda group: group.keep_changes(), 0).result()
    elif what == "vectors":
        (stages._folder / "given.vdb").write_bytes(b"")
    else:
        head, arrays = load_arrays(path)
        head |= {"collection": [99, 1]} if what == "collection" else {}
        if what == "points":
            arrays["pairs"] = arrays["pairs"] + np.uint32(1_000)
        save_arrays(path, head, arrays)
    stages = again(stages, books)
    second = stages.gathered(books.shard.env, unasked)
    assert "points are gathered anew" in caplog.text
    assert len(second.pids) == len(books.points) == len(first.pids) + 5
    _, cells = stages.deepened(second, lambda: cut_of(second))
    assert len(cells) == len(second.pids), "the tree of other points is not used"


def test_a_damaged_tree_is_made_anew(stages: BuildStages, books: Books, caplog: pytest.LogCaptureFixture) -> None:
    given = stages.gathered(books.shard.env, unasked)
    stages.deepened(given, lambda: cut_of(given))
    path = stages._folder / "tree.vdb"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    made: list[Cut] = []

    def make() -> Cut:
        made.append(cut_of(given))
        return made[0]

    assert stages.deepened(given, make)[1] is made[0][1]
    assert "points are clustered anew" in caplog.text


def test_gathering_says_how_far_it_is_and_can_be_given_up(
    stages: BuildStages, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float | None] = []

    def give_up() -> None:
        shares.append(stages.share)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        stages.gathered(books.shard.env, give_up)
    assert shares == [1.0]
    assert len(again(stages, books).gathered(books.shard.env, unasked).pids) == len(books.points)
