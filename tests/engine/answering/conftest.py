"""A world for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.answering.world import World, world


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    """The collection `notes` with acme's texts."""
    with world(tmp_path) as found:
        yield found
