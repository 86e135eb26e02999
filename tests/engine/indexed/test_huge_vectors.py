"""Vectors so large that their squares overflow leave the index of all others as it is."""

from pathlib import Path

import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from tests.engine.indexed.books import FROM, D
from vdb.protocol.columns import SearchHead
from vdb.types import Metric, Tier


@pytest.mark.parametrize("tier", [Tier.DISK, Tier.HYBRID])
@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("value", [1e19, 3e38])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_index_with_huge_vectors_is_loaded_again(
    tmp_path: Path, rng: np.random.Generator, small_folds: None, value: float, metric: Metric, tier: Tier
) -> None:
    """On disk, centroids and errors of estimates once were not finite: no start trusted the layout, for nobody."""
    vectors = rng.standard_normal((300, D)).astype(np.float32)
    vectors[[7, 8, 9]] = np.array([[value], [value], [-value]], np.float32)
    ids = [str(i) for i in range(300)]

    def check(driver: Driver) -> None:
        for i in range(100, 105):
            head = SearchHead(limit=5, explain=True)
            answer = driver.run("search", "acme", ("notes",), head, vectors[i])
            assert answer.explain.path == "index" and len(answer.hits) == 5
            if metric is not Metric.IP:
                assert answer.hits[0].id == ids[i]
            elif value < 1e38:  # else estimates overflow too
                assert answer.hits[0].id in {"7", "8", "9"}

    with opened(tmp_path / "data", index_from_points=FROM) as driver:
        driver.create("notes", D, metric, tier=tier)
        driver.upsert("acme", "notes", ids[:200], vectors[:200])
        document = driver.engine.services.usable(driver.caller(None), "notes")
        with driver.engine.services.shards.use(document) as shard:
            assert shard.index.work()
            check(driver)
            driver.upsert("acme", "notes", ids[200:], vectors[200:])
            while shard.index.work():
                pass
            check(driver)
    with opened(tmp_path / "data", index_from_points=FROM) as driver:
        check(driver)
