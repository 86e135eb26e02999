"""Two ways to run an operation by name: over HTTP, and on an engine in process. Both answer decoded JSON.

The writers and the verifier know only `Access`, so that the crash harness (a server) and the power-loss harness (an
engine) share them. The SDK is left out on purpose: it retries, and a ledger must see every outcome.
"""

import http.client
import json
from concurrent.futures import Future
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec
import numpy as np

from vdb.engine.engine import Engine
from vdb.errors import VdbError
from vdb.protocol.operations import BY_NAME
from vdb.types import Role

Answer = dict[str, Any]
Body = dict[str, Any]

TIMEOUT_S = 30.0


class Refused(Exception):
    """The operation was answered with an error: it changed nothing."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Lost(Exception):
    """No answer came: nobody knows whether the operation was done."""


class Access(Protocol):
    """Runs operations as one caller; raises Refused or Lost."""

    def run(self, operation: str, path: tuple[str, ...], body: Body, tenant: str | None = None) -> Answer: ...


class HttpAccess:
    """One kept-alive connection with one key. Used by one thread at a time."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self._key = key

    def run(self, operation: str, path: tuple[str, ...], body: Body, tenant: str | None = None) -> Answer:
        """Raises Refused for an error status, Lost when the connection ends without an answer."""
        route = BY_NAME[operation]
        place = route.path
        for part in path:
            place = place[: place.index("{")] + part + place[place.index("}") + 1 :]
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if tenant is not None:
            headers["Vdb-Tenant"] = tenant
        try:
            content = json.dumps(body) if route.method in ("POST", "PATCH", "PUT") else None
            place += f"?{urlencode(body)}" if route.method == "GET" and body else ""
            self._connection.request(route.method, place, content, headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise Lost(str(exc)) from exc
        decoded: Answer = json.loads(data)
        if answer.status >= 300:
            raise Refused(decoded["code"], decoded.get("detail", ""))
        return decoded

    def close(self) -> None:
        self._connection.close()


class EngineAccess:
    """An engine in this process, for one role; `tenant` is the one it acts for. Safe for any number of threads."""

    def __init__(self, engine: Engine, role: Role, tenant: str | None = None) -> None:
        self._engine = engine
        self._role = role
        self._tenant = tenant

    def run(self, operation: str, path: tuple[str, ...], body: Body, tenant: str | None = None) -> Answer:
        """Raises Refused; an engine's answer is never lost."""
        request = msgspec.json.decode(json.dumps(body), type=BY_NAME[operation].request)
        try:
            answer = self._engine.run(
                operation, self._engine.local_caller(self._role, tenant or self._tenant), path, request
            )
            if isinstance(answer, Future):
                answer = answer.result()
        except VdbError as exc:
            raise Refused(exc.code, exc.detail) from exc
        return json.loads(msgspec.json.encode(answer, enc_hook=_plain))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Whoever opened the engine closes it."""


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a request holds a {type(value).__name__}")
