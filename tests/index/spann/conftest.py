"""Bounds so small that a few thousand points reach every path; the compiled kernels answer."""

import pytest

from vdb.index.spann import deepening, fold, index, layout, narrowing, state
from vdb.kernels import cpu_kernels, dispatch


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (layout, narrowing):
        monkeypatch.setattr(module, "OWN_WHOLE", 50)
        monkeypatch.setattr(module, "LIST_WHOLE", 30)
        monkeypatch.setattr(module, "ENTRY_ROWS", 16)
    monkeypatch.setattr(layout, "BLOCK_ROWS", 100)
    monkeypatch.setattr(fold, "BLOCK_ROWS", 64)
    monkeypatch.setattr(fold, "SPLIT_ROWS", 24)
    monkeypatch.setattr(fold, "LIST_ROWS", 16)
    monkeypatch.setattr(fold, "GROUP_BYTES", 1 << 11)
    monkeypatch.setattr(index, "LEAST_FOLD", 64)
    monkeypatch.setattr(state, "FEW_ENTRIES", 30)
    monkeypatch.setattr(deepening, "LIST_LIMIT", 16)
    monkeypatch.setattr(deepening, "BLOCK_ROWS", 128)
    monkeypatch.setattr(deepening, "GROUP_BYTES", 1 << 12)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch._loader, "current", cpu_kernels())
