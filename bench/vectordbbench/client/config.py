"""How VectorDBBench reaches a vdb server, and by what its cases build and search."""

from typing import Any, ClassVar

from pydantic import BaseModel, SecretStr
from vectordb_bench.backend.clients.api import DBCaseConfig, DBConfig, MetricType

__all__ = ["VdbCaseConfig", "VdbConfig", "VdbTextConfig"]

_METRICS = {"COSINE": "cosine", "L2": "l2", "IP": "ip", "DP": "ip"}


class VdbConfig(DBConfig):  # type: ignore[misc]  # the harness has no types
    """A server, an admin key of it, and the collection to fill; `tenant` owns the points of cases with one tenant."""

    _extra_empty_skip: ClassVar[frozenset[str]] = frozenset()
    url: str = "http://127.0.0.1:8080"
    api_key: SecretStr
    collection_name: str = "vdbbench"
    tenant: str = "bench"

    def to_dict(self) -> dict[str, Any]:
        """What the client is made with; the harness hands `collection_name` on by itself."""
        return {
            "url": self.url,
            "api_key": self.api_key.get_secret_value(),
            "collection_name": self.collection_name,
            "tenant": self.tenant,
        }


class VdbCaseConfig(BaseModel, DBCaseConfig):  # type: ignore[misc]
    """The harness sets `metric_type`, the metric of the data.

    `tier`: where the index is to lie; `form` and `dimension`: the encoding, chosen by measurement without. `recall`,
    or `budget` and `rerank`, say how far a search goes; `exact` compares with every vector.
    """

    metric_type: MetricType | None = None
    tier: str = "auto"
    form: str | None = None
    dimension: int | None = None
    recall: float | None = None
    budget: int | None = None
    rerank: int | None = None
    exact: bool = False

    def index_param(self) -> dict[str, Any]:
        """Metric, tier and encoding; raises ValueError for a metric of other vectors than floats."""
        name = "COSINE" if self.metric_type is None else str(self.metric_type.value)
        if name not in _METRICS:
            raise ValueError(f"metric {name} is none of {', '.join(_METRICS)}")
        return {"metric": _METRICS[name], "tier": self.tier, "form": self.form, "dimension": self.dimension}

    def search_param(self) -> dict[str, Any]:
        """The arguments of a search, those that are given."""
        given = {"recall": self.recall, "budget": self.budget, "rerank": self.rerank, "exact": self.exact or None}
        return {name: value for name, value in given.items() if value is not None}


class VdbTextConfig(BaseModel, DBCaseConfig):  # type: ignore[misc]
    """For the full-text case: BM25 with `bm25_k1` and `bm25_b`, None for the server's defaults."""

    metric_type: MetricType | None = None
    bm25_k1: float | None = None
    bm25_b: float | None = None

    def index_param(self) -> dict[str, Any]:
        """The member `text` of the collection."""
        given = {"k1": self.bm25_k1, "b": self.bm25_b}
        return {"fields": {"text": 1}} | {name: value for name, value in given.items() if value is not None}

    def search_param(self) -> dict[str, Any]:
        """Nothing: a search by words has no effort."""
        return {}
