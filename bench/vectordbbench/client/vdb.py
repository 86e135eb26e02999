"""The client that VectorDBBench calls. The harness pickles it to its processes, so a connection is opened by `init`.

A point's id is the row's number as text; its payload has the number (`id`) and where there is one the label (`labels`),
both indexed. In the multi-tenant case every label is a tenant of the server: what isolates tenants is the server, not a
filter.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from vectordb_bench.backend.clients.api import VectorDB
from vectordb_bench.backend.filter import FilterOp
from vectordb_bench.backend.payload import PayloadProfile

from bench.vectordbbench.client.config import VdbCaseConfig, VdbTextConfig
from vdb.client import Client
from vdb.client.collection import Collection
from vdb.errors import CollectionNotFound, VdbError
from vdb.protocol.statistics import CollectionStats, VectorIndex

__all__ = ["Vdb"]

_TIMEOUT_S = 600.0
_BUILD_TIMEOUT_S = 240 * 3600.0
_N_WRITERS = 16
"""Tenants of one batch that are written at once: the server commits together what waits together."""
_POLL_S = 0.2
_GRACE_S = 10.0
"""An index that is not begun by then is not due: the server's `index_from_points` is higher."""
_TEXT_DIMENSION = 1
"""Points of the full-text case have no vectors, but a collection has a dimension."""
_LEAST_TUNED = 5_000


class Vdb(VectorDB):  # type: ignore[misc]  # the harness has no types
    """A collection of a vdb server. Threads may share it within `init`."""

    supported_filter_types = [FilterOp.NonFilter, FilterOp.NumGE, FilterOp.StrEqual]  # noqa: RUF012 (the base's form)
    name = "Vdb"
    thread_safe = True

    def __init__(
        self,
        dim: int,
        db_config: dict[str, Any],
        db_case_config: VdbCaseConfig | VdbTextConfig | None,
        collection_name: str = "vdbbench",
        drop_old: bool = False,
        with_scalar_labels: bool = False,
        **kwargs: Any,
    ) -> None:
        """Make the collection where there is none; `drop_old` deletes it first, all tenants' points with it."""
        self._config = dict(db_config)
        self._case = db_case_config or VdbCaseConfig()
        self._collection = collection_name
        self._has_labels = with_scalar_labels
        self._filter: dict[str, Any] | None = None
        self._client: Client | None = None
        self.set_multitenant_context(kwargs.get("multitenant_tenant_labels") or [])
        with self._connected() as client:
            if drop_old:
                _drop(client, collection_name)
            if collection_name not in [one.name for one in client.collections()]:
                self._create(client, dim)

    @contextmanager
    def init(self) -> Iterator[None]:
        """Keep connections to the server open meanwhile; in each process of its own."""
        with self._connected() as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None

    # Writing

    def insert_embeddings(
        self,
        embeddings: Sequence[Sequence[float]],
        metadata: Sequence[int],
        labels_data: Sequence[str] | None = None,
        tenant_labels_data: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> tuple[int, Exception | None]:
        """Store a batch durably; how many rows, and what went wrong. Writing rows once more does no harm."""
        vectors = np.asarray(embeddings, np.float32)
        payloads: list[dict[str, Any]] = [{"id": row} for row in metadata]
        if labels_data is not None:
            payloads = [{"id": row, "labels": label} for row, label in zip(metadata, labels_data, strict=True)]
        by_tenant: dict[str | None, list[int]] = {None: list(range(len(payloads)))}
        if tenant_labels_data is not None:
            by_tenant = {}
            for place, label in enumerate(tenant_labels_data):
                by_tenant.setdefault(label, []).append(place)

        def write(tenant: str | None) -> int:
            places = by_tenant[tenant]
            chosen = [payloads[place] for place in places]
            self._points(tenant).upsert([str(one["id"]) for one in chosen], vectors[places], chosen)
            return len(places)

        return _written(write, list(by_tenant))

    def optimize(self, data_size: int | None = None) -> None:
        """Wait until the index is made of all points and tuned, as the tier allows; raises TimeoutError."""
        if isinstance(self._case, VdbTextConfig) or not self._await_index():
            return
        stats, case = self._stats(), self._case
        is_on_disk = isinstance(stats.index, VectorIndex) and stats.index.tier == "disk"
        if not is_on_disk and (stats.vectors >= _LEAST_TUNED or case.form is not None):
            self._opened().tune(self._collection, form=case.form, dimension=case.dimension, timeout_s=_BUILD_TIMEOUT_S)

    def poll_insert_readiness(self, expected_count: int) -> dict[str, Any]:
        """What was acknowledged is found by the next search; indexed is what waits for no layout."""
        index = self._stats().index
        is_indexed = not isinstance(index, VectorIndex) or (index.state != "building" and not index.late_rows)
        return {"fully_searchable": True, "fully_indexed": is_indexed, "additional_parameters": {}}

    # Reading

    def prepare_filter(self, filters: Any) -> None:
        """The filter of the searches that follow; raises ValueError for one of another kind."""
        if filters.type == FilterOp.NonFilter:
            self._filter = None
        elif filters.type == FilterOp.NumGE:
            self._filter = {"field": "id", "gte": filters.int_value}
        elif filters.type == FilterOp.StrEqual:
            self._filter = {"field": "labels", "eq": filters.label_value}
        else:
            raise ValueError(f"no such filter: {filters}")

    def search_embedding(
        self,
        query: Sequence[float],
        k: int = 100,
        payload_profile: Any = PayloadProfile.IDS_ONLY,
        tenant: str | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """The k nearest rows; of a tenant, where one is named. The server's `max_limit` bounds k."""
        effort = self._case.search_param()
        if "rerank" in effort:
            effort["rerank"] = max(k, effort["rerank"])
        hits = self._points(tenant).search(
            np.asarray(query, np.float32),
            k,
            filter=self._filter,
            with_payload=payload_profile == PayloadProfile.SCALAR_LABEL,
            with_vector=payload_profile == PayloadProfile.VECTOR,
            **effort,
        )
        return [int(hit.id) for hit in hits]

    @staticmethod
    def supports_payload_profile(payload_profile: Any) -> bool:
        """Ids, vectors and labels of what was found."""
        return payload_profile in (PayloadProfile.IDS_ONLY, PayloadProfile.VECTOR, PayloadProfile.SCALAR_LABEL)

    # Many tenants

    def supports_multitenant(self) -> bool:
        return True

    def validate_multitenant_schema(self) -> None:
        """Nothing to check: every collection has tenants."""

    # Full text

    @classmethod
    def supports_full_text_search(cls) -> bool:
        return True

    def has_text_field(self) -> bool:
        return isinstance(self._case, VdbTextConfig)

    def insert_documents(
        self, texts: Sequence[str], doc_ids: Sequence[str], **kwargs: Any
    ) -> tuple[int, Exception | None]:
        """Store texts durably; `filter_ids` are the numbers that a filter asks for."""
        payloads: list[dict[str, Any]] = [{"text": text} for text in texts]
        for payload, number in zip(payloads, kwargs.get("filter_ids") or [], strict=False):
            payload["filter_id"] = int(number)
        ids = [str(document) for document in doc_ids]

        def write(tenant: str | None) -> int:
            self._points(tenant).upsert(ids, None, payloads)
            return len(ids)

        return _written(write, [None])

    def search_documents(
        self, query: str, k: int = 100, payload_profile: Any = PayloadProfile.IDS_ONLY, **kwargs: Any
    ) -> list[str]:
        """The ids of the k best texts by BM25."""
        filtered = None if self._filter is None else self._filter | {"field": "filter_id"}
        with_payload = payload_profile == PayloadProfile.TEXT
        hits = self._points(None).search(text=query, mode="sparse", limit=k, filter=filtered, with_payload=with_payload)
        return [str(hit.id) for hit in hits]

    # The server

    def _connected(self) -> Client:
        return Client(self._config["url"], self._config["api_key"], timeout_s=_TIMEOUT_S, n_connections=_N_WRITERS)

    def _opened(self) -> Client:
        if self._client is None:
            raise RuntimeError("init comes first")
        return self._client

    def _points(self, tenant: str | None) -> Collection:
        return self._opened().collection(self._collection, tenant=tenant or self._config["tenant"])

    def _stats(self) -> CollectionStats:
        return self._opened().collection_stats(self._collection)

    def _create(self, client: Client, dimension: int) -> None:
        if isinstance(self._case, VdbTextConfig):
            client.create_collection(
                self._collection, _TEXT_DIMENSION, fields={"filter_id": "integer"}, indexes=["filter_id"],
                text=self._case.index_param(),
            )  # fmt: skip
            return
        made = self._case.index_param()
        fields = {"id": "integer"} | ({"labels": "string"} if self._has_labels else {})
        client.create_collection(
            self._collection, dimension, metric=made["metric"], tier=made["tier"], fields=fields, indexes=list(fields)
        )

    def _await_index(self) -> bool:
        """Whether there is an index, once it is made; False where searches are to be exact."""
        began = time.monotonic()
        while time.monotonic() - began < _BUILD_TIMEOUT_S:
            index = self._stats().index
            if not isinstance(index, VectorIndex) or (index.state == "absent" and time.monotonic() - began > _GRACE_S):
                return False
            if index.state == "ready" and index.stage is None and not index.late_rows:
                return True
            time.sleep(_POLL_S)
        raise TimeoutError("the index was not made in time")


def _written(write: Any, tenants: Sequence[str | None]) -> tuple[int, Exception | None]:
    """Rows written for these tenants, several at once, and the first error."""
    if len(tenants) == 1:
        outcomes = [_tried(write, tenants[0])]
    else:
        with ThreadPoolExecutor(_N_WRITERS) as pool:
            outcomes = list(pool.map(lambda tenant: _tried(write, tenant), tenants))
    errors = [error for _, error in outcomes if error is not None]
    return sum(n_rows for n_rows, _ in outcomes), errors[0] if errors else None


def _tried(write: Any, tenant: str | None) -> tuple[int, Exception | None]:
    try:
        return write(tenant), None
    except VdbError as exc:
        return 0, exc


def _drop(client: Client, name: str) -> None:
    try:
        client.delete_collection(name)
    except CollectionNotFound:
        return
