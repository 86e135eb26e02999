"""What an index on disk does not need any more is given back: nothing that is kept for speed holds on to it."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened
from tests.engine.indexed.books import FROM, D, indexed_books
from vdb.engine.kinds import Kinds
from vdb.index.spann.index import SpannIndex
from vdb.protocol.columns import SearchHead
from vdb.types import FieldType, Metric, Tier

pytestmark = pytest.mark.usefixtures("small_folds")


@pytest.mark.parametrize("tier", [Tier.DISK, Tier.HYBRID])
def test_a_filtered_search_of_before_keeps_no_old_layout(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    """A filter that nobody asks for again once kept the rows, or the lists' pages, that it was narrowed for."""
    monkeypatch.setattr("vdb.index.curator.index.LEAST_CHANGES", 24)
    with opened(tmp_path / "data", index_from_points=FROM) as driver:
        driver.create("notes", D, Metric.L2, tier=tier, fields={"lang": FieldType.STRING}, indexes=["lang"])

        def add(n: int, name: str) -> None:
            vectors = rng.standard_normal((n, D)).astype(np.float32)
            payloads = [{"lang": ("en", "de")[i % 2]} for i in range(n)]
            driver.upsert("acme", "notes", [f"{name}-{i}" for i in range(n)], vectors, payloads=payloads)

        add(100, "first")
        document = driver.engine.services.usable(driver.caller(None), "notes")
        with driver.engine.services.shards.use(document) as shard:
            assert shard.index.work()
            add(30, "late")
            head = SearchHead(limit=3, filter={"field": "lang", "eq": "de"}, explain=True)
            told = driver.run("search", "acme", ("notes",), head, np.zeros(D, np.float32)).explain
            assert told.path == "index" and told.filter == "index"
            before: Any = shard.index.current
            old = weakref.ref(before.state.directories if tier is Tier.DISK else before.state.rows)
            del before
            assert shard.index.work() and shard.index.n_layouts == 1
            gc.collect()
            assert old() is None
            index: Any = shard.index.current
            shard.index.work()
            if tier is Tier.DISK:
                kinds: Kinds = shard.index._kinds
                assert kinds.disk.files.lists.generations() == [index.state.laid.pages.generation]


def test_a_fold_whose_index_was_dropped_meanwhile_is_not_kept(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=Tier.DISK) as books:
        books.add(30)
        kind = books.index._kinds.disk
        made: list[Any] = []
        lay_out = kind.lay_out

        def dropping(*given: Any) -> Any:
            outcome = lay_out(*given)
            made.append(weakref.ref(outcome[0].state.directories))
            books.index.drop()
            return outcome

        with monkeypatch.context() as patched:
            patched.setattr(kind, "lay_out", dropping)
            assert books.work() and books.index.tier is None
        gc.collect()
        assert [one() for one in made] == [None]
        books.check()
        assert isinstance(books.index.current, SpannIndex)
        while books.work():
            pass
        books.check()
