"""Bounds so small that a few hundred points reach every path: entries, folds, growth of arrays, split cells."""

import pytest

from vdb.index.curator import index, layout, resident_pages, resident_places, resident_readings, tails, training
from vdb.kernels import cpu_kernels, dispatch, reference_readings


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (layout, tails):
        monkeypatch.setattr(module, "OWN_WHOLE", 50)
        monkeypatch.setattr(module, "LIST_WHOLE", 30)
        monkeypatch.setattr(module, "ENTRY_ROWS", 16)
    monkeypatch.setattr(tails, "LEAST_TAIL", 8)
    monkeypatch.setattr(layout, "SPARE_ROWS", 8)
    monkeypatch.setattr(layout, "SPARE_SHARE", 0.02)
    monkeypatch.setattr(index, "LEAST_CHANGES", 100)
    monkeypatch.setattr(training, "LEAST_CELL_LIMIT", 12)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled kernels answer; `tests/contract` holds their twins to the same results."""
    monkeypatch.setattr(dispatch._loader, "current", cpu_kernels())


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of so few rows that a few hundred are many pages."""
    for module in (resident_pages, resident_places, resident_readings, reference_readings):
        monkeypatch.setattr(module, "PAGE_ROWS", 16)
    return 16
