"""The ways to reach one engine, behind the SDK's method names: in process, SDK (both), and raw HTTP with JSON.

`World` gives a test names of its own, so that ways may share a server, and `plain` makes answers comparable.
"""

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import msgspec
import numpy as np

from tests.contract.raw_answers import RawAnswers, raised
from tests.contract.raw_cache import RawCache
from tests.contract.raw_documents import RawDocuments
from vdb.client import AsyncClient, Client
from vdb.errors import VdbError
from vdb.local import Database
from vdb.protocol.operations import BY_NAME
from vdb.testing import RunningServer

VOLATILE = {"created", "created_at", "finished_at", "last_used_at", "key", "sequence", "timings", "version"}
"""Fields that differ from run to run, or count writes of other tests."""


WHOLE_PAGE = 1_000
"""Listings of a server that many tests share fit on one page of this size."""


class Blocking:
    """An asynchronous client or collection, called as if it were synchronous."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)

        def act(*args: Any, **given: Any) -> Any:
            made = member(*args, **given)
            if hasattr(made, "__anext__"):
                return self._loop.run_until_complete(_collect(made))
            if inspect.iscoroutine(made):
                return self._loop.run_until_complete(made)
            return Blocking(made, self._loop)

        return act


async def _collect(items: Any) -> list[Any]:
    return [item async for item in items]


class RawClient:
    """Plain HTTP with JSON bodies; nothing of the SDK."""

    def __init__(self, port: int, key: str, tenant: str | None = None) -> None:
        self._port, self._key, self._tenant = port, key, tenant

    def ask(
        self,
        name: str,
        path: tuple[str, ...] = (),
        fields: dict[str, Any] | None = None,
        query: str = "",
        nulls: bool = False,
    ) -> Any:
        """The decoded answer of an operation, or the error its problem body stands for."""
        operation = BY_NAME[name]
        target = operation.path
        for part in path:
            target = target[: target.index("{")] + part + target[target.index("}") + 1 :]
        given = {key: value for key, value in (fields or {}).items() if nulls or value is not None}
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if self._tenant is not None:
            headers["Vdb-Tenant"] = self._tenant
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            body = json.dumps(given, default=_jsonable) if operation.method in ("POST", "PATCH", "PUT") else None
            connection.request(operation.method, target + query, body, headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status < 300:
            return found
        raise raised(found, answer.status)

    def collection(self, name: str, tenant: str | None = None) -> "RawCollection":
        return RawCollection(RawClient(self._port, self._key, tenant or self._tenant), name)

    def models(self) -> Any:
        return self.ask("list_models")["data"]

    def cache(self, name: str, tenant: str | None = None) -> RawCache:
        return RawCache(RawClient(self._port, self._key, tenant or self._tenant), name)

    def create_cache(self, name: Any, dimension: Any, **given: Any) -> Any:
        return self.ask("create_cache", (), {"name": name, "dimension": dimension, **given})

    def update_cache(self, name: str, **given: Any) -> Any:
        return self.ask("update_cache", (name,), given, nulls=True)

    def create_collection(self, name: str, dimension: Any, metric: str = "cosine", **given: Any) -> Any:
        return self.ask("create_collection", (), {"name": name, "dimension": dimension, "metric": metric, **given})

    def update_collection(self, name: str, **given: Any) -> Any:
        return self.ask("update_collection", (name,), given, nulls=True)

    def rename_collection(self, name: str, new_name: str) -> Any:
        return self.ask("update_collection", (name,), {"name": new_name})

    def set_aliases(self, **given: Any) -> Any:
        return self.ask("set_aliases", (), given)

    def members(self, name: str) -> Any:
        return self.ask("list_members", (name,))["members"]

    def tune(
        self, name: str, queries: Any = None, form: Any = None, dimension: Any = None, for_queries: Any = False
    ) -> Any:
        given = {"form": form, "dimension": dimension, "for_queries": for_queries}
        encoding = None if form is None else {key: value for key, value in given.items() if value is not None}
        return self.wait_for_job(self.ask("tune", (name,), {"queries": queries, "encoding": encoding})["id"])

    def create_tenant(self, name: str, max_points: Any = None, max_bytes: Any = None, rate: Any = None) -> Any:
        quota = {"points": max_points, "bytes": max_bytes}
        return self.ask("create_tenant", (), {"name": name, "quota": quota, "rate": rate})

    def update_tenant(self, name: str, max_points: Any = None, max_bytes: Any = None, **rate: Any) -> Any:
        quota = {"points": max_points, "bytes": max_bytes}
        return self.ask("update_tenant", (name,), rate or {"quota": quota}, nulls=bool(rate))

    def tenant_usage(self, name: str, month: str | None = None) -> Any:
        return self.ask("tenant_usage", (name,), {}, query="" if month is None else f"?month={month}")["months"]

    def create_key(self, tenant: Any = None, role: str = "write", name: str = "", expires_at: Any = None) -> Any:
        return self.ask("create_key", (), {"tenant": tenant, "role": role, "name": name, "expires_at": expires_at})

    def rotate_key(self, key_id: str, grace_s: Any = 0.0) -> Any:
        return self.ask("rotate_key", (key_id,), {"grace_s": grace_s})

    def limits(self) -> Any:
        return self.ask("limits")["limits"]

    def create_backup(self, name: str) -> Any:
        return self.ask("create_backup", (), {"name": name})

    def delete_tenant(self, name: str) -> Any:
        return self.wait_for_job(self.ask("delete_tenant", (name,))["id"])

    def wait_for_job(self, job_id: str) -> Any:
        while (job := self.ask("get_job", (job_id,)))["state"] in ("queued", "running"):
            pass
        return job

    def __getattr__(self, name: str) -> Any:
        """`get_tenant(x)` and the like, and the listings `tenants()`."""
        if name in BY_NAME:
            return lambda part: self.ask(name, (part,))
        return lambda: self.ask(f"list_{name}", query=f"?limit={WHOLE_PAGE}")[name]


class RawHits(list[Any]):
    """Hits as JSON has them, with what stood beside them."""

    def __init__(self, hits: list[Any], sequence: int, explain: Any) -> None:
        super().__init__(hits)
        self.sequence, self.explain = sequence, explain


class RawCollection(RawDocuments, RawAnswers):
    """Points over plain HTTP: rows instead of columns, lists instead of arrays."""

    def __init__(self, client: RawClient, name: str) -> None:
        self._client, self._name = client, name

    def _ask(self, name: str, **fields: Any) -> Any:
        return self._client.ask(name, (self._name,), fields)

    def upsert(
        self, ids: Any, vectors: Any = None, payloads: Any = None, owner: Any = None, ack: Any = None, **columns: Any
    ) -> Any:
        points = []
        for i, point_id in enumerate(ids):
            point = {"id": point_id, "vector": None if vectors is None else vectors[i]}
            point["payload"] = None if payloads is None else payloads[i]
            point |= columns
            points.append({name: value for name, value in point.items() if value is not None})
        answer = self._ask("upsert", points=points, owner=owner, ack=ack)
        return 0 if answer == {"queued": True} else answer["sequence"]

    def search(self, vector: Any = None, limit: Any = 10, text: Any = None, group: Any = None, **given: Any) -> Any:
        several = np.ndim(vector) == 2
        if text is not None:
            given["texts" if isinstance(text, list) else "text"] = text
        if group is not None:
            given["group"] = {"field": group} if isinstance(group, str) else group
        params = {name: given.pop(name) for name in ("exact", "recall", "budget", "rerank") if name in given}
        found = self._ask(
            "search", **{"vectors" if several else "vector": vector}, limit=limit, params=params or None, **given
        )
        if "results" in found:
            return [row["hits"] for row in found["results"]]
        return RawHits(found["hits"], found["sequence"], found.get("explain"))

    def learn_fusion(self, queries: Any, **given: Any) -> Any:
        return self._ask("learn_fusion", queries=queries, **given)

    def calibrate_answers(self, questions: Any, **given: Any) -> Any:
        return self._ask("calibrate_answers", questions=questions, **given)

    def templates(self) -> Any:
        return self._ask("list_templates")["templates"]

    def template(self, name: str, version: Any = None) -> Any:
        return self._client.ask("get_template", (self._name, name), query=f"?version={version}" if version else "")

    def put_template(self, name: str, **given: Any) -> Any:
        return self._client.ask("put_template", (self._name, name), given)

    def delete_template(self, name: str) -> Any:
        return self._client.ask("delete_template", (self._name, name))

    def get(self, ids: Any, **given: Any) -> Any:
        return self._ask("get_points", ids=ids, **given)["points"]

    def delete(self, ids: Any = None, **given: Any) -> Any:
        found = self._ask("delete_points", ids=ids, **given)
        return self._client.wait_for_job(found["id"]) if "state" in found else found

    def scroll(self, filter: Any = None, page_size: Any = 256, **given: Any) -> Any:
        points, cursor = [], None
        while True:
            page, cursor = self.scroll_page(filter, cursor=cursor, page_size=page_size, **given)
            points += page
            if cursor is None:
                return points

    def scroll_page(self, filter: Any = None, cursor: Any = None, page_size: Any = 256, **given: Any) -> Any:
        page = self._ask("scroll", filter=filter, limit=page_size, cursor=cursor, **given)
        return page["points"], page["next_cursor"]

    def count(self, filter: Any = None, **given: Any) -> Any:
        return self._ask("count", filter=filter, **given)["count"]

    def update_payload(self, ids: Any, payloads: Any, mode: str = "merge", owner: Any = None, **given: Any) -> Any:
        points = [{"id": point_id, "payload": payloads, **given} for point_id in ids]
        return self._ask("update_payload", points=points, mode=mode, owner=owner)["sequence"]

    def grant(self, ids: Any, to: Any, owner: Any = None) -> Any:
        return self._ask("share", action="grant", ids=ids, to=to, owner=owner)["sequence"]

    def revoke(self, ids: Any, to: Any, owner: Any = None) -> Any:
        return self._ask("share", action="revoke", ids=ids, to=to, owner=owner)["sequence"]


@dataclass
class World:
    """An engine as one test sees it: an admin, tenants with names of this test's own, and comparable answers."""

    way: str
    prefix: str
    admin: Any
    enter: Callable[[str, str], Any]
    """An operations object for a tenant's full name and a role."""
    callers: dict[tuple[str, str], Any] = field(default_factory=dict)

    def name(self, word: str) -> str:
        return f"{self.prefix}-{word}"

    def tenant(self, word: str, role: str = "write") -> Any:
        """Operations with a key of the tenant, which is made where missing."""
        if (word, role) not in self.callers:
            self.callers[word, role] = self.enter(self.name(word), role)
        return self.callers[word, role]

    def points(self, word: str, tenant: str, role: str = "write") -> Any:
        return self.tenant(tenant, role).collection(self.name(word))

    def cache(self, word: str, tenant: str, role: str = "write") -> Any:
        return self.tenant(tenant, role).cache(self.name(word))

    def plain(self, answer: Any) -> Any:
        """The answer as JSON data, without volatile fields and without this test's prefix."""
        return self._strip(msgspec.to_builtins(answer, enc_hook=_jsonable))

    def code(self, act: Callable[..., Any], *args: Any, **given: Any) -> str:
        """The code of the error that the call raises."""
        try:
            made = act(*args, **given)
            if inspect.isgenerator(made):
                list(made)
        except VdbError as exc:
            return exc.code
        return "no error"

    def _strip(self, value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: self._strip(item) for key, item in value.items() if key not in VOLATILE}
            return {self._strip(key): item for key, item in kept.items() if key != "id" or isinstance(item, str)}
        if isinstance(value, list):
            return [self._strip(item) for item in value]
        return value.replace(f"{self.prefix}-", "") if isinstance(value, str) else value


def local_world(prefix: str, database: Database) -> World:
    def enter(tenant: str, role: str) -> Any:
        database.create_key(tenant=tenant, role="read")
        return database.as_tenant(tenant, role)

    return World("local", prefix, database, enter)


def sdk_world(prefix: str, server: RunningServer) -> World:
    return World("sdk", prefix, server.admin(), server.client)


def raw_world(prefix: str, server: RunningServer) -> World:
    port = int(server.url.rsplit(":", 1)[1])
    admin = RawClient(port, server.admin_key)

    def enter(tenant: str, role: str) -> Any:
        is_bound = role in ("read", "write")
        key = admin.create_key(tenant=tenant if is_bound else None, role=role)["key"]
        return RawClient(port, key, None if is_bound else tenant)

    return World("raw", prefix, admin, enter)


def aio_world(prefix: str, server: RunningServer, loop: asyncio.AbstractEventLoop, opened: list[AsyncClient]) -> World:
    def wrap(key: str, tenant: str | None = None) -> Any:
        opened.append(AsyncClient(server.url, key, tenant))
        return Blocking(opened[-1], loop)

    def enter(tenant: str, role: str) -> Any:
        is_bound = role in ("read", "write")
        with Client(server.url, server.admin_key) as admin:
            key = admin.create_key(tenant=tenant if is_bound else None, role=role).key
        return wrap(str(key), None if is_bound else tenant)

    return World("async", prefix, wrap(server.admin_key), enter)


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(type(value).__name__)
