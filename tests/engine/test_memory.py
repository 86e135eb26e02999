"""The cap on vectors in RAM: least recently searched readings go first, answers stay right."""

import threading
from pathlib import Path

import numpy as np

from tests.engine.driver import opened
from vdb.engine.memory import MemoryCap, Place


def cap_of(max_bytes: int) -> tuple[MemoryCap, list[Place]]:
    evicted: list[Place] = []
    return MemoryCap(max_bytes, evicted.append), evicted


def test_the_least_recently_searched_goes_first() -> None:
    cap, evicted = cap_of(30)
    for tenant in (1, 2, 3):
        cap.keep((1, tenant), 10)
    cap.touch((1, 1))
    cap.keep((1, 4), 10)
    assert evicted == [(1, 2)] and cap.n_bytes == 30 and cap.n_evictions == 1


def test_growth_by_writes_evicts_but_does_not_count_as_searched() -> None:
    cap, evicted = cap_of(30)
    cap.keep((1, 1), 10)
    cap.keep((1, 2), 10)
    cap.resize((1, 1), 25)
    assert evicted == [(1, 1)] and cap.n_bytes == 10
    cap.resize((1, 1), 5)
    assert cap.n_bytes == 10, "what is gone does not come back by growing"


def test_what_is_forgotten_counts_no_more() -> None:
    cap, evicted = cap_of(30)
    cap.keep((1, 1), 30)
    cap.forget((1, 1))
    cap.forget((1, 1))
    cap.keep((1, 2), 30)
    assert evicted == [] and cap.n_bytes == 30
    assert (cap.n_bytes_beside((1, 2)), cap.n_bytes_beside((1, 1))) == (0, 30)


def test_tenants_beyond_the_cap_are_searched_right_while_they_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.integers(-20, 20, (8, 60, 16)).astype(np.float32)
    with opened(tmp_path / "data", memory_bytes=3 * 60 * 16 * 4) as driver:
        driver.create("notes", dimension=16)
        for t in range(8):
            driver.upsert(f"t{t}", "notes", [f"{i:02d}" for i in range(60)], vectors[t])
        driver.share("t0", "notes", ["00"], ["*"])
        errors: list[BaseException] = []

        def search(seed: int) -> None:
            try:
                own = np.random.default_rng(seed)
                for _ in range(40):
                    t, query = int(own.integers(8)), own.integers(-20, 20, 16).astype(np.float32)
                    distances = np.linalg.norm(vectors[t] - query, axis=1)
                    if t:
                        distances = np.append(distances, np.linalg.norm(vectors[0][0] - query))
                    hits = driver.search(f"t{t}", "notes", query, limit=5)
                    np.testing.assert_allclose([hit.distance for hit in hits], np.sort(distances)[:5], rtol=1e-5)
            except BaseException as exc:
                errors.append(exc)

        def write() -> None:
            for i in range(40):
                driver.upsert(f"t{i % 8}", "notes", ["59"], vectors[i % 8][59:])

        threads = [threading.Thread(target=search, args=(seed,)) for seed in range(4)] + [
            threading.Thread(target=write)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == [] and driver.engine._memory.n_evictions > 0
