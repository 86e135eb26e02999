"""One address of a model server: JSON is posted to it over connections that are kept, a few at a time.

What may work a second time is tried again, after a pause that doubles or that the server names: broken connections,
time that ran out, 408, 425, 429 and all from 500 on. Redirects are not followed. After several calls in a row that
failed the server is not asked for a while. What is sent, what comes back and the key reach neither a log nor an error:
of a refusal its status and code, if it has one.
"""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vdb.errors import ModelUnavailable
from vdb.rag.breaker import LONGEST_PAUSE_S, Breaker
from vdb.rag.connection import Address, Answer
from vdb.rag.connections import Connections
from vdb.rag.refusals import FIRST_PAUSE_S, Failed, pause_s, refusal

__all__ = ["MIB", "Endpoint", "Patience", "headers_of"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a server is asked; times in seconds."""

    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    """Of one attempt, connecting included."""
    n_retries: int = 2
    concurrency: int = 4
    max_answer_bytes: int = 64 * MIB


class Endpoint:
    """Any thread may post; whoever made it closes it, which ends calls under way."""

    def __init__(
        self,
        name: str,
        address: Address,
        patience: Patience,
        api_key: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is what errors call it: they reach people who are not to know the address."""
        self._name, self._patience = name, patience
        self._headers = headers_of(api_key, "application/json")
        self._places = threading.BoundedSemaphore(patience.concurrency)
        self._connections = Connections(name, address)
        self._breaker = Breaker(name, clock)

    def post(self, body: bytes) -> bytes:
        """The body of an answer of status 200.

        Raises ModelUnavailable, and InvalidArgument where the server finds fault with the texts.
        """
        is_probe = self._breaker.enter()
        has_worked: bool | None = None
        try:
            found = self._tried(body)
            has_worked = True
            return found
        except Failed as exc:
            has_worked = False
            raise ModelUnavailable(f"{self._name} {exc.what}", retry_after_s=exc.retry_after_s or None) from exc
        finally:
            self._breaker.leave(is_probe, has_worked)

    def close(self) -> None:
        """Calls under way fail, later ones are refused."""
        self._connections.close()

    def _tried(self, body: bytes) -> bytes:
        """Raises Failed where the last attempt did."""
        n_tried = 0
        while True:
            try:
                return self._attempt(body)
            except Failed as exc:
                n_tried += 1
                wait_s = max(exc.retry_after_s, pause_s(n_tried, FIRST_PAUSE_S))
                if n_tried > self._patience.n_retries or wait_s > LONGEST_PAUSE_S:
                    raise
                self._connections.closed.wait(wait_s)

    def _attempt(self, body: bytes) -> bytes:
        with self._places:
            answer = self._exchange(body)
        if not answer.is_ok:
            raise refusal(self._name, answer.status, answer.headers, answer.body)
        if len(answer.body) > self._patience.max_answer_bytes:
            raise ModelUnavailable(f"{self._name} answers with more than {self._patience.max_answer_bytes} bytes")
        return answer.body

    def _exchange(self, body: bytes) -> Answer:
        """One exchange. Of connections that were kept, those that the server has closed are thrown away."""
        patience = self._patience
        while True:
            connection = self._connections.take()
            was_used, is_kept = connection.is_used, False
            try:
                answer = connection.exchange(
                    body, self._headers, patience.connect_timeout_s, patience.timeout_s, patience.max_answer_bytes
                )
                is_kept = answer.is_kept
                return answer
            except TimeoutError as exc:
                raise Failed("did not answer in time") from exc
            except (OSError, http.client.HTTPException) as exc:
                self._connections.check_open()
                was_dropped = isinstance(exc, (ConnectionError, http.client.BadStatusLine))
                if not (was_used and was_dropped):
                    raise Failed(f"cannot be asked: {type(exc).__name__}") from exc
            finally:
                self._connections.give_back(connection, is_kept)


def headers_of(api_key: str, accept: str) -> dict[str, str]:
    """What is sent with every request; the key's is not told to anybody else."""
    headers = {"Content-Type": "application/json", "Accept": accept, "User-Agent": "vdb"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers
