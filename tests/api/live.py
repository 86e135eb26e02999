"""A real server asked over plain HTTP: what came back, and what is the same about two answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from vdb.protocol.operations import BY_NAME
from vdb.testing import RunningServer

JSON = "application/json"
PROBLEM = "application/problem+json"
OWN = ("request_id", "sequence")
"""What differs between answers that say the same: the request's id, and the number of writes so far."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One response; `json` is its decoded body."""

    status: int
    headers: dict[str, str]
    json: Any

    @property
    def code(self) -> str:
        """The error's code; checks that the response is a well-formed problem, or an error in OpenAI's shape."""
        if "error" in self.json:
            assert self.headers["content-type"] == JSON, self
            assert set(self.json["error"]) == {"message", "type", "param", "code"}
            return str(self.json["error"]["code"])
        assert self.headers["content-type"] == PROBLEM, self
        assert self.json["status"] == self.status
        assert self.json["type"] == f"urn:vdb:error:{self.json['code']}"
        return str(self.json["code"])

    @property
    def pointers(self) -> list[str]:
        return [fault["pointer"] for fault in self.json["errors"]]

    @property
    def said(self) -> tuple[int, Any]:
        """Status and body, without what is this request's own."""
        return self.status, {name: value for name, value in self.json.items() if name not in OWN}


class Live:
    """A running server and the keys of its callers. One connection per request; used by one thread."""

    def __init__(self, server: RunningServer) -> None:
        self._port = urlsplit(server.url).port
        self.admin = server.admin_key

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        tenant: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send `body` as it is (bytes) or as JSON; `key` None is the admin's, "" none at all."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Content-Type": JSON} if data is not None else {}
        if key != "":
            given["Authorization"] = f"Bearer {self.admin if key is None else key}"
        if tenant is not None:
            given["Vdb-Tenant"] = tenant
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, data, given | dict(headers or {}))
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, json.loads(raw) if "json" in found.get("content-type", "") else raw)

    def run(self, name: str, path: tuple[str, ...] = (), body: object = None, **who: Any) -> Reply:
        """Ask an operation by name, its path filled in."""
        operation = BY_NAME[name]
        target = operation.path
        for part in path:
            target = target[: target.index("{")] + part + target[target.index("}") + 1 :]
        return self.ask(operation.method, target, body, **who)

    def must(self, name: str, path: tuple[str, ...] = (), body: object = None, **who: Any) -> Any:
        """The answer of an operation that has to work."""
        reply = self.run(name, path, body, **who)
        assert reply.status in (200, 201), reply
        return reply.json

    def key(self, role: str, tenant: str | None = None, **fields: Any) -> str:
        """A new key's secret."""
        return str(self.must("create_key", (), {"role": role, "tenant": tenant, **fields})["key"])
