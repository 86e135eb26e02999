"""Bounds so small that a few thousand points reach every path; the compiled kernels answer."""

import pytest

from vdb.index.spann import deepening, index, state
from vdb.kernels import cpu_kernels, dispatch


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "OWN_WHOLE", 50)
    monkeypatch.setattr(index, "LIST_WHOLE", 30)
    monkeypatch.setattr(index, "ENTRY_ROWS", 16)
    monkeypatch.setattr(index, "BLOCK_ROWS", 100)
    monkeypatch.setattr(state, "FEW_ENTRIES", 30)
    monkeypatch.setattr(deepening, "LIST_LIMIT", 16)
    monkeypatch.setattr(deepening, "BLOCK_ROWS", 128)
    monkeypatch.setattr(deepening, "GROUP_BYTES", 1 << 12)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch._loader, "current", cpu_kernels())
