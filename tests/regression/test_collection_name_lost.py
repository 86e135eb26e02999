"""A creation that failed at its last step kept the name until the next start."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import opened
from vdb.engine.catalog import Catalog
from vdb.errors import QueueFull
from vdb.storage.catalog import ACTIVE


def test_a_collection_that_could_not_be_made_active_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Catalog.put_collection

    def refuse_active(self: Catalog, group: Any, document: Any) -> None:
        if document.state == ACTIVE:
            raise QueueFull("too many writes are waiting")
        put(self, group, document)

    with opened(tmp_path / "data") as driver:
        with monkeypatch.context() as patched:
            patched.setattr(Catalog, "put_collection", refuse_active)
            with pytest.raises(QueueFull):
                driver.create("notes")
        driver.create("notes")
