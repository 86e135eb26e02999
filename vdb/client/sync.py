"""Management, and the way to points, synchronous. Generated from aio.py by vdb.client.unasync: edit that one.

Every method builds a call, hands it to the transport and returns what the call makes of the answer. Errors are those of
`vdb.errors`, the same in process, over HTTP and here.
"""

import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import UNSET, UnsetType

from vdb.client import cache_calls, calls
from vdb.client.cache import Cache
from vdb.client.collection import Collection, Transport, wait_for_job
from vdb.client.http_sync import HttpTransport
from vdb.client.retry import RetryPolicy
from vdb.client.server_url import HttpOptions, trusting
from vdb.client.wire import Call
from vdb.protocol.answers import (
    Alias,
    AliasesChanged,
    Backup,
    Done,
    Job,
    Key,
    Member,
    Tenant,
    UsageMonth,
)
from vdb.protocol.answers import Collection as CollectionAnswer
from vdb.protocol.cache_answers import Cache as CacheAnswer
from vdb.protocol.chat_answers import Model
from vdb.protocol.statistics import CollectionStats

T = TypeVar("T")


class Operations:
    """Every operation of a server or an engine. As safe to share as its transport, which `close` closes."""

    def __init__(self, transport: Transport, tenant: str | None) -> None:
        self._transport, self._tenant = transport, tenant

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def collection(self, name: str, tenant: str | None = None) -> Collection:
        """The points of collection `name`, for `tenant` (None: the tenant of this client or its key). Sends nothing."""
        return Collection(self._transport, name, self._tenant if tenant is None else tenant)

    def create_collection(
        self,
        name: str,
        dimension: int,
        metric: str = "cosine",
        tenants: Sequence[str] | None = None,
        sharing: str = "managed",
        fields: Mapping[str, str] | None = None,
        embedding: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        indexes: Sequence[str] | None = None,
        tier: str = "auto",
        memory_bytes: int | None = None,
        text: Mapping[str, Any] | None = None,
        answering: Mapping[str, Any] | None = None,
    ) -> CollectionAnswer:
        """A collection of vectors of one `dimension`; metric cosine, l2 or ip; `tenants` None: every tenant may use it.

        `sharing`: "managed" or "tenants" (who may grant). `fields` declares types of payload fields, which are then
        checked: number, integer, string, boolean, datetime or list. `embedding` is {"model": …, "version": …}; it and
        `metadata` are kept and shown, no more. `indexes` names the declared fields that filters are to be fast on.
        `tier`: where the index is to lie, "auto", "memory", "hybrid" or "disk"; `memory_bytes`: what it may take of
        memory, None for no cap but the server's. `text` makes it searchable by words: {"fields": {"text": 1, "title":
        3}, "language": "english", "k1": 1.5, "b": 0.75}, of which what is left out has the value shown, fields "text".
        `answering` is what answers from it are like: backend, template, cache, category, context_tokens, limit,
        threshold, order.
        """
        made = calls.create_collection(
            name, dimension, metric, tenants, sharing, fields, embedding, metadata, indexes, tier, memory_bytes, text,
            answering,
        )  # fmt: skip
        return self._run(made)

    def collections(self) -> list[CollectionAnswer]:
        """The collections that the key may use."""
        return self._all("list_collections")

    def get_collection(self, name: str) -> CollectionAnswer:
        return self._run(calls.get_collection(name))

    def update_collection(
        self,
        name: str,
        *,
        tenants: Sequence[str] | None | UnsetType = UNSET,
        add_tenants: Sequence[str] | UnsetType = UNSET,
        remove_tenants: Sequence[str] | UnsetType = UNSET,
        sharing: str | UnsetType = UNSET,
        embedding: Mapping[str, str] | None | UnsetType = UNSET,
        metadata: Mapping[str, str] | None | UnsetType = UNSET,
        indexes: Sequence[str] | UnsetType = UNSET,
        tier: str | UnsetType = UNSET,
        memory_bytes: int | None | UnsetType = UNSET,
        fusion: Mapping[str, Any] | None | UnsetType = UNSET,
        text: Mapping[str, Any] | None | UnsetType = UNSET,
        answering: Mapping[str, Any] | None | UnsetType = UNSET,
    ) -> CollectionAnswer:
        """Change what is given; `tenants=None` opens the collection to every tenant, other Nones clear.

        `add_tenants` and `remove_tenants` change the list of a collection that has one. `indexes` is the whole list of
        indexed fields: new ones are built in the background, and the answer says which are `ready`. A change of `tier`
        or `memory_bytes` is answered at once; `collection_stats` says which tier answers by now. Another language of
        `text`, or other fields, build the text index anew in the background, and None drops it.
        `fusion` (kind, weight, rrf_k) is what a hybrid search does unless it says otherwise.
        `answering` is put whole.
        """
        fields: dict[str, Any] = {"tenants": tenants, "add_tenants": add_tenants, "remove_tenants": remove_tenants}
        fields |= {"sharing": sharing, "embedding": embedding, "metadata": metadata, "indexes": indexes}
        fields |= {"tier": tier, "memory_bytes": memory_bytes, "text": text, "fusion": fusion, "answering": answering}
        return self._run(calls.update_collection(name, fields))

    def rename_collection(self, name: str, new_name: str) -> CollectionAnswer:
        """Give a collection another name; the old one leads nowhere once this returns. Its aliases stay."""
        return self._run(calls.rename_collection(name, new_name))

    def delete_collection(self, name: str) -> Done:
        """Delete a collection, its points and its aliases; `name` must not be an alias."""
        return self._run(calls.delete_collection(name))

    def collection_stats(self, name: str) -> CollectionStats:
        """Counts and sizes, on disk and in memory: of the whole, or for a tenant of its own part."""
        return self._run(calls.collection_stats(name))

    def members(self, name: str) -> list[Member]:
        """The tenants that a collection lists, and those that own points there."""
        return self._all("list_members", name)

    def tune(
        self,
        name: str,
        queries: str | None = None,
        form: str | None = None,
        dimension: int | None = None,
        for_queries: bool = False,
        *,
        wait: bool = True,
        timeout_s: float = 600.0,
    ) -> Job:
        """Train a collection's index anew and measure what recall costs on it, while it goes on answering.

        `queries`: `recorded` or `rows`; None takes recorded ones where there are enough. `form` (`lvq8`, `lvq4`,
        `float32`, `float16`), `dimension` and `for_queries` name the encoding; without `form` it is chosen by
        measurement. `wait`: until the job has ended.
        """
        job = self._run(calls.tune(name, queries, form, dimension, for_queries))
        return self.wait_for_job(job.id, timeout_s) if wait else job

    def aliases(self) -> list[Alias]:
        """The aliases of the collections that the key may use."""
        return self._all("list_aliases")

    def set_aliases(
        self,
        set: Mapping[str, str] | None = None,
        remove: Sequence[str] | None = None,
    ) -> AliasesChanged:
        """Let aliases lead to collections (`set`: alias to collection) and remove others, all in one commit or none."""
        return self._run(calls.set_aliases(set or {}, remove or ()))

    def cache(self, name: str, tenant: str | None = None) -> Cache:
        """The semantic cache `name`, for `tenant` (None: the tenant of this client or its key). Sends nothing."""
        return Cache(self._transport, name, self._tenant if tenant is None else tenant)

    def create_cache(
        self,
        name: str,
        dimension: int,
        embedding_version: str = "",
        tenants: Sequence[str] | None = None,
        max_entries: int = 100_000,
        max_bytes: int = 1 << 30,
        reject_margin: float = 0.05,
        metadata: Mapping[str, str] | None = None,
    ) -> CacheAnswer:
        """A semantic cache for question vectors of one `dimension` and `embedding_version`; see `Cache`.

        `tenants` None: every tenant may use it. `max_entries` and `max_bytes` bound the whole. `reject_margin`: how
        much nearer the nearest category has to be than the next, as a cosine, to be taken without being told.
        """
        fields: dict[str, Any] = {"name": name, "dimension": dimension, "embedding_version": embedding_version}
        fields |= {"tenants": tenants, "max_entries": max_entries, "max_bytes": max_bytes}
        fields |= {"reject_margin": reject_margin, "metadata": UNSET if metadata is None else metadata}
        return self._run(cache_calls.create_cache(fields))

    def caches(self) -> list[CacheAnswer]:
        """The caches that the key may use."""
        return self._all("list_caches")

    def get_cache(self, name: str) -> CacheAnswer:
        return self._run(cache_calls.get_cache(name))

    def update_cache(
        self,
        name: str,
        *,
        embedding_version: str | UnsetType = UNSET,
        tenants: Sequence[str] | None | UnsetType = UNSET,
        max_entries: int | UnsetType = UNSET,
        max_bytes: int | UnsetType = UNSET,
        reject_margin: float | UnsetType = UNSET,
        metadata: Mapping[str, str] | UnsetType = UNSET,
    ) -> CacheAnswer:
        """Change what is given. Entries of another embedding version are served no more."""
        fields: dict[str, Any] = {"embedding_version": embedding_version, "tenants": tenants}
        fields |= {"max_entries": max_entries, "max_bytes": max_bytes}
        fields |= {"reject_margin": reject_margin, "metadata": metadata}
        return self._run(cache_calls.update_cache(name, fields))

    def delete_cache(self, name: str) -> Done:
        """Delete a cache, its entries and all that was learned."""
        return self._run(cache_calls.delete_cache(name))

    def create_tenant(
        self,
        name: str,
        max_points: int | None = None,
        max_bytes: int | None = None,
        rate: Mapping[str, float | None] | None = None,
    ) -> Tenant:
        """A tenant; None means no cap.

        `rate` limits it to `reads_per_s` (queries), `writes_per_s` (points) and `bytes_per_s`, as much as `burst_s`
        seconds allow at once; what it leaves out has no limit. None: the server's own limits.
        """
        return self._run(calls.create_tenant(name, max_points, max_bytes, rate))

    def tenants(self) -> list[Tenant]:
        return self._all("list_tenants")

    def get_tenant(self, name: str) -> Tenant:
        """A tenant's quota, rate and what it owns."""
        return self._run(calls.get_tenant(name))

    def update_tenant(
        self,
        name: str,
        max_points: int | None | UnsetType = UNSET,
        max_bytes: int | None | UnsetType = UNSET,
        rate: Mapping[str, float | None] | None | UnsetType = UNSET,
    ) -> Tenant:
        """Set both caps of what the tenant may own, or its rate; None means no cap, and the server's own rates.

        A `rate` alone leaves the caps as they are; otherwise a cap that is not given is lifted.
        """
        return self._run(calls.update_tenant(name, max_points, max_bytes, rate))

    def tenant_usage(self, name: str, month: str | None = None) -> list[UsageMonth]:
        """What the tenant asked for, by month (UTC), newest first; or in one `month`, "yyyy-mm"."""
        return self._run(calls.tenant_usage(name, month))

    def delete_tenant(self, name: str, *, wait: bool = True, timeout_s: float = 600.0) -> Job:
        """Delete a tenant and its points: a job, finished on return if `wait`, for at most `timeout_s`."""
        job = self._run(calls.delete_tenant(name))
        return self.wait_for_job(job.id, timeout_s) if wait else job

    def create_key(
        self, tenant: str | None = None, role: str = "write", name: str = "", expires_at: datetime | None = None
    ) -> Key:
        """A key, whose secret is in `.key` of this answer and nowhere else.

        Roles: "write" and "read" are bound to `tenant`; "service" reads and writes for any tenant; "admin" manages.
        """
        return self._run(calls.create_key(tenant, role, name, expires_at))

    def keys(self) -> list[Key]:
        return self._all("list_keys")

    def get_key(self, key_id: str) -> Key:
        return self._run(calls.get_key(key_id))

    def rotate_key(self, key_id: str, grace_s: float = 0.0) -> Key:
        """A new secret, in `.key`; the old one works for `grace_s` more seconds."""
        return self._run(calls.rotate_key(key_id, grace_s))

    def delete_key(self, key_id: str) -> Done:
        return self._run(calls.delete_key(key_id))

    def get_job(self, job_id: str) -> Job:
        return self._run(calls.get_job(job_id))

    def jobs(self) -> list[Job]:
        return self._all("list_jobs")

    def wait_for_job(self, job_id: str, timeout_s: float = 600.0) -> Job:
        """The finished job; raises InternalError if it failed, TransportTimeout if it is not done after `timeout_s`."""
        return wait_for_job(self._transport, job_id, self._tenant, timeout_s)

    def create_backup(self, name: str) -> Backup:
        """Everything the server holds, as of one instant; answers when it is done, so give the client the time."""
        return self._run(calls.create_backup(name))

    def backups(self) -> list[Backup]:
        return self._all("list_backups")

    def get_backup(self, name: str) -> Backup:
        return self._run(calls.get_backup(name))

    def delete_backup(self, name: str) -> Done:
        return self._run(calls.delete_backup(name))

    def models(self) -> list[Model]:
        """What the key may ask: each collection, alone and with each backend that may write its answers."""
        return self._run(calls.list_models())

    def get_model(self, name: str) -> Model:
        """One of them: `collection` or `collection/backend`."""
        return self._run(calls.get_model(name))

    def limits(self) -> dict[str, int]:
        """Every cap of the server, by name."""
        return self._run(calls.limits())

    def _run(self, sent: Call[T]) -> T:
        return self._transport.execute(sent, self._tenant)

    def _all(self, listing: str, *path: str) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        while True:
            items, cursor = self._run(calls.page(listing, cursor, path))
            found += items
            if cursor is None:
                return found


class Client(Operations):
    """A vdb server, reached over HTTP. One client serves many threads.

    `tenant` is whom a service or admin key acts for, unless `collection(..., tenant=...)` says otherwise. `timeout_s`
    bounds a whole call with its retries; refused calls (429, 503) are sent again as the server asks, broken connections
    only for calls that may be done twice, conditional writes never. An https server is verified against the authorities
    of the system, of `ca_file` (PEM) instead, or as `ssl_context` says. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        tenant: str | None = None,
        *,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        n_connections: int = 16,
        n_retries: int = 4,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: str | None = None,
    ) -> None:
        context = trusting(ca_file, ssl_context)
        options = HttpOptions(timeout_s, connect_timeout_s, n_connections, RetryPolicy(n_retries), context)
        super().__init__(HttpTransport(url, api_key, options), tenant)
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r}, tenant={self._tenant!r})"
