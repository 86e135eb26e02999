"""The compiled kernels answer in these tests; the indexer's own thread stays away: tests call `work`."""

import pytest

from vdb.engine.indexer import Indexer
from vdb.kernels import cpu_kernels, dispatch


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch._loader, "current", cpu_kernels())


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Indexer, "start", lambda self: None)
