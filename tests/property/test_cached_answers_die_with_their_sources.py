"""Cached answers beside writers: none is stale, none of another tenant or scope. `python -m bench cache` runs more."""

import pytest

from bench.cache.staleness import run_beside_writers


@pytest.mark.parametrize("seed", [1, 2])
def test_no_answer_outlives_its_sources_or_leaves_its_tenant_and_scope(seed: int) -> None:
    outcome = run_beside_writers(n_operations=60, seed=seed)
    assert not outcome.problems
    for kind in ("upsert", "delete", "payload", "grant", "revoke", "exact hit", "semantic hit", "stale prevented"):
        assert outcome.counts[kind] > 0, kind
