"""The indexer's own thread stays away: tests call `work`."""

import pytest

from vdb.engine.indexer import Indexer


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Indexer, "start", lambda self: None)
