"""Stand-ins for the base classes of benchmark harnesses, written from their contracts: the harnesses are not installed.

Each `install_…` puts modules of those names in `sys.modules` for as long as the monkeypatch lasts; what is imported of
ours with them keeps them.
"""

import sys
from abc import ABC
from collections.abc import Iterator
from enum import Enum, StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel

BENCH = Path(__file__).resolve().parents[2] / "bench"


class BaseANN:
    """What ann-benchmarks and big-ann-benchmarks call, as far as it has defaults."""

    res: Any

    def done(self) -> None:
        """Nothing to clean up."""

    def get_memory_usage(self) -> float:
        return 1.0

    def get_results(self) -> Any:
        return self.res

    def get_additional(self) -> dict[str, Any]:
        return {}


class FilterOp(StrEnum):
    NumGE = "NumGE"
    StrEqual = "Label"
    NonFilter = "NonFilter"


class PayloadProfile(StrEnum):
    IDS_ONLY = "ids_only"
    VECTOR = "vector"
    SCALAR_LABEL = "scalar_label"
    TEXT = "text"


class MetricType(StrEnum):
    L2 = "L2"
    COSINE = "COSINE"
    IP = "IP"
    HAMMING = "HAMMING"


class DBCaseConfig(ABC):  # noqa: B024 (as the harness has it)
    """Marks the configurations of cases."""


class DBConfig(ABC, BaseModel):
    db_label: str = ""
    _extra_empty_skip: ClassVar[frozenset[str]] = frozenset()


class VectorDB(ABC):  # noqa: B024
    """The client of a database, as VectorDBBench calls it."""

    supported_filter_types: ClassVar[list[FilterOp]] = [FilterOp.NonFilter]

    def set_multitenant_context(self, tenant_labels: list[str]) -> None:
        self.multitenant_tenant_labels = tenant_labels


class DB(Enum):
    """Databases of VectorDBBench: two stand for all."""

    One = "One"
    Another = "another"

    @property
    def init_cls(self) -> str:
        return f"client of {self.value}"

    @property
    def config_cls(self) -> str:
        return f"configuration of {self.value}"

    def case_config_cls(self, index_type: Any = None) -> str:
        return f"case of {self.value}"


class Tags:
    """A CSR matrix of ones, as far as it is read: `tags` names the columns of each row."""

    def __init__(self, tags: list[list[int]]) -> None:
        self.indices = np.array([tag for row in tags for tag in row], np.int32)
        self.indptr = np.cumsum([0, *map(len, tags)])
        self.shape = (len(tags), int(self.indices.max()) + 1)


class TaggedRows:
    """A dataset of big-ann-benchmarks, of `rows` (n, d) with `tags`."""

    def __init__(self, rows: NDArray[np.float32], tags: list[list[int]]) -> None:
        self.d = rows.shape[1]
        self._rows, self._tags = rows, tags

    def search_type(self) -> str:
        return "knn_filtered"

    def get_dataset_iterator(self, bs: int) -> Iterator[NDArray[np.float32]]:
        yield from np.array_split(self._rows, 3)

    def get_dataset_metadata(self) -> Tags:
        return Tags(self._tags)


def install_ann_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that the plug-in imports its base class from."""
    _install(monkeypatch, "ann_benchmarks.algorithms.base.module", BaseANN=BaseANN)


def install_big_ann(monkeypatch: pytest.MonkeyPatch, datasets: dict[str, Any]) -> None:
    """The harness with our folders in the place that they are copied to."""
    _install(monkeypatch, "benchmark.datasets", DATASETS=datasets)
    for track, name in (("filter", "BaseFilterANN"), ("streaming", "BaseStreamingANN")):
        _install(monkeypatch, f"neurips23.{track}.base", **{name: BaseANN})
        sys.modules[f"neurips23.{track}"].__path__ = [str(BENCH / "big_ann" / track)]
    sys.modules["neurips23"].__path__ = [str(BENCH / "big_ann")]


def install_vectordbbench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules that the client and its registration import."""
    names: dict[str, Any] = {"DBConfig": DBConfig, "DBCaseConfig": DBCaseConfig, "MetricType": MetricType}
    _install(monkeypatch, "vectordb_bench.backend.clients.api", VectorDB=VectorDB, **names)
    _install(monkeypatch, "vectordb_bench.backend.clients", DB=DB)
    _install(monkeypatch, "vectordb_bench.backend.filter", FilterOp=FilterOp)
    _install(monkeypatch, "vectordb_bench.backend.payload", PayloadProfile=PayloadProfile)


def _install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        full = ".".join(parts[:end])
        if full not in sys.modules:
            module = ModuleType(full)
            module.__path__ = []
            monkeypatch.setitem(sys.modules, full, module)
            if end > 1:
                setattr(sys.modules[".".join(parts[: end - 1])], parts[end - 1], module)
    for attribute, value in contents.items():
        setattr(sys.modules[name], attribute, value)
