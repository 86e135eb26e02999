"""A stop or a deleted collection ends what is under way, whatever stage it is in; and nothing is left of it in RAM."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import wait_until
from tests.engine.indexed.books import TENANTS, indexed_books, opened_books
from vdb.engine.index_files import Files, read_index, write_index
from vdb.engine.pace import Cancelled
from vdb.engine.shard_index import ShardIndex
from vdb.index.curator import index as curator_index
from vdb.index.curator import relayout, training
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import laid_out
from vdb.index.kmeans import bisect, refine
from vdb.protocol.requests import Empty
from vdb.storage.catalog import CollectionDocument
from vdb.types import Metric, Sharing

STAGES = ["_reduced", "bisect", "refine", "coded"]


class Stop(Exception):
    pass


def stops_after(n: int) -> Callable[[], None]:
    left = [n]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stop

    return check


def test_training_asks_between_blocks_and_iterations_whether_to_go_on(rng: np.random.Generator) -> None:
    """Nobody asked: a stop waited for the end of the clustering."""
    rows = rng.standard_normal((3_000, 160)).astype(np.float32)
    encoding = Encoding(Form.LVQ8, 64)
    n_asked = 0
    while True:
        try:
            train(rows, len(rows), Metric.L2, encoding, check=stops_after(n_asked))
            break
        except Stop:
            n_asked += 1 if n_asked < 5 else 40
    assert n_asked > 100
    tree = bisect(rows, 100)
    with pytest.raises(Stop):
        refine(tree, rows, check=stops_after(2))


@pytest.mark.parametrize("stage", STAGES)
def test_a_build_is_given_up_where_a_stop_finds_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(600)
        ended = []
        module = curator_index if stage == "coded" else training
        work = getattr(module, stage)

        def stopped(*given: Any, **named: Any) -> Any:
            books.driver.engine.services.is_stopping.set()
            found = work(*given, **named)
            ended.append(stage)
            return found

        monkeypatch.setattr(module, stage, stopped)
        assert not books.index.work()
        assert books.index.current is None and books.index.n_builds == 0 and books.index.state == "absent"
        assert ended == ([stage] if stage == "_reduced" else [])  # rows of few dimensions are not reduced


def test_a_layout_is_given_up_where_a_stop_finds_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(30):
            books.add(2)
        n_laid_out = []
        granted = relayout._granted

        def stopped(*given: Any) -> Any:
            books.driver.engine.services.is_stopping.set()
            return granted(*given)

        monkeypatch.setattr(relayout, "_granted", stopped)
        monkeypatch.setattr(relayout, "lay_out", lambda *given: n_laid_out.append(1))
        assert not books.index.work()
        assert not n_laid_out
        assert books.index.n_layouts == 0


def test_laying_rows_out_asks_between_its_steps_whether_to_go_on(tmp_path: Path, rng: np.random.Generator) -> None:
    """Nobody asked once rows were being moved: a stop waited for the end of a layout of a million rows."""
    with indexed_books(tmp_path / "data", rng) as books:
        index = books.in_ram
        moment = index.begin_layout(books.shard.readings.published_sequence)
        n_asked = 0
        while True:
            try:
                laid_out(index, moment, check=stops_after(n_asked))
                break
            except Stop:
                n_asked += 1
        index.abandon_layout()
        assert n_asked >= 10


def test_searches_after_an_abandoned_build_are_right(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(200)
        left = [0]

        def check(self: ShardIndex) -> None:
            left[0] -= 1
            if not left[0]:
                raise Cancelled

        monkeypatch.setattr(ShardIndex, "_check", check)
        for turn in range(1, 12):
            left[0] = turn
            assert not books.work()
            books.change()
            books.check()
        monkeypatch.undo()
        assert books.work() and books.path_of() == "index"
        books.check()


def test_an_index_of_many_tenants_is_arrays_and_no_objects(tmp_path: Path, rng: np.random.Generator) -> None:
    n = 100_000
    document = CollectionDocument(
        id=3, name="books", state="ready", dimension=2, metric=Metric.L2, sharing=Sharing.TENANTS, fields={},
        tenants=None, created_at_ms=5,
    )  # fmt: skip
    files = Files(tmp_path)
    vectors = files.new_vectors(2)
    rows = rng.standard_normal((n, 2)).astype(np.float32)
    numbers = np.arange(n, dtype=np.uint32)
    vectors.put(numbers, rows)
    nobody = np.zeros(0, np.uint32), (np.zeros(1, np.int64), np.zeros(0, np.uint32))
    index = CuratorIndex.build(
        train(rows[:1_000], 1_000, Metric.L2, Encoding(Form.LVQ8, 2)), numbers, numbers + 1, np.zeros(n, np.int64),
        *nobody, vectors, 1,
    )  # fmt: skip
    write_index(files, index, vectors, 1, document, 1)
    gc.collect()
    before = len(gc.get_objects())
    loaded, _, _ = read_index(files, document)
    gc.collect()
    assert len(loaded.state.directories.tenants) == n
    assert len(gc.get_objects()) - before < 500
    files.close()


def test_a_dropped_index_and_a_deleted_collection_leave_nothing_in_ram(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        books.check()
        index = books.in_ram
        held: list[weakref.ref[Any]] = [
            weakref.ref(index),
            weakref.ref(index.state.directories),
            weakref.ref(index.state.rows.codes),
        ]
        del index
        books.index.drop()
        gc.collect()
        assert [ref() for ref in held] == [None, None, None]
        books.check()
        index = books.in_ram
        held = [weakref.ref(index), weakref.ref(index.state.directories), weakref.ref(books.shard)]
        del index
        books.driver.run("delete_collection", None, ("books",), Empty())

        def are_gone() -> bool:
            gc.collect()
            return all(ref() is None for ref in held)

        wait_until(are_gone)  # the shard is closed in the background


def test_explain_counts_the_rows_that_the_tenant_sees(tmp_path: Path, rng: np.random.Generator) -> None:
    """Replaced, deleted and revoked ones were counted: 3 where the tenant had 1."""
    with opened_books(tmp_path / "data", rng) as books:
        for path in ("exact", "index", "index"):
            for _ in range(60):
                books.change()
            if path == "index":
                books.work()
                for _ in range(30):
                    books.change()
            for tenant in TENANTS:
                assert books.path_of(tenant) == path
                assert books.explained(tenant).rows == len(books.seen_by(tenant))
