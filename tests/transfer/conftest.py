"""A database in process, and an import into it as one call."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb
from tests.transfer.importing import Importing
from vdb.local import Database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with vdb.open(tmp_path_factory.mktemp("vdb") / "data", tenant="acme", compile_kernels=False) as opened:
        opened.create_tenant("acme")
        opened.create_tenant("globex")
        yield opened


@pytest.fixture
def importing(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Importing]:
    """Imports into a collection of this test's own, made by the first one unless it is there."""
    made: Any = Importing(database, tmp_path)
    yield made
    made.drop()
