"""One address of a model server: JSON is posted to it over connections that are kept, a few at a time.

What may work a second time is tried again, after a pause that doubles or that the server names: broken connections,
time that ran out, 408, 425, 429 and all from 500 on. Redirects are not followed. After several calls in a row that
failed the server is not asked for a while. What is sent, what comes back and the key reach neither a log nor an error:
of a refusal its status and code, if it has one.
"""

import http.client
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.connection import Address, Answer, TimedConnection

__all__ = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "MIB", "N_FAILURES", "Endpoint", "Patience"]

MIB = 1 << 20
LONGEST_PAUSE_S = 30.0
"""Nobody waits longer before another attempt: a server that wants more is reported as it is."""
FIRST_PAUSE_S = 0.25
N_FAILURES = 5
"""Calls in a row that failed, until the server is left alone for a while: a second, then twice as long each time."""
_MAX_REFUSAL_BYTES = 65_536

_AGAIN = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS))
_OF_THE_TEXT = frozenset((HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY))
_OF_THE_KEY = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a server is asked; times in seconds."""

    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    """Of one attempt, connecting included."""
    n_retries: int = 2
    concurrency: int = 4
    max_answer_bytes: int = 64 * MIB


class _Failed(Exception):
    """An attempt that may be repeated: what happened, and when to come back where the server said so."""

    def __init__(self, what: str, retry_after_s: float = 0.0) -> None:
        super().__init__(what)
        self.what, self.retry_after_s = what, retry_after_s


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
        self._name, self._address, self._patience, self._clock = name, address, patience, clock
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "vdb"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._places = threading.BoundedSemaphore(patience.concurrency)
        self._lock = threading.Lock()
        self._idle: list[TimedConnection] = []
        self._busy: set[TimedConnection] = set()
        self._closed = threading.Event()
        self._n_failed = 0
        self._asked_from = 0.0

    def post(self, body: bytes) -> bytes:
        """The body of an answer of status 200.

        Raises ModelUnavailable, and InvalidArgument where the server finds fault with the texts.
        """
        self._check_asked()
        n_tried = 0
        while True:
            try:
                found = self._attempt(body)
            except _Failed as exc:
                n_tried += 1
                pause_s = max(exc.retry_after_s, self._pause_s(n_tried))
                if n_tried > self._patience.n_retries or pause_s > LONGEST_PAUSE_S:
                    self._note_failure()
                    raise ModelUnavailable(f"{self._name} {exc.what}", retry_after_s=exc.retry_after_s or None) from exc
                self._closed.wait(pause_s)
            else:
                with self._lock:
                    self._n_failed = 0
                return found

    def close(self) -> None:
        """Calls under way fail, later ones are refused."""
        with self._lock:
            self._closed.set()
            connections = [*self._idle, *self._busy]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _attempt(self, body: bytes) -> bytes:
        with self._places:
            answer = self._exchange(body)
        if answer.is_ok:
            if len(answer.body) > self._patience.max_answer_bytes:
                raise ModelUnavailable(f"{self._name} answers with more than {self._patience.max_answer_bytes} bytes")
            return answer.body
        status = f"{answer.status}{_code_of(answer.body)}"
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _AGAIN:
            raise _Failed(f"answered {status}", _retry_after_s(answer))
        if answer.status in _OF_THE_TEXT:
            raise InvalidArgument(f"{self._name} refused the text: {status}")
        if answer.status in _OF_THE_KEY:
            raise ModelUnavailable(f"{self._name} refuses the server's key: {status}")
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            raise ModelUnavailable(f"{self._name} redirects ({status}): its url is to be where that leads")
        raise ModelUnavailable(f"{self._name} answered {status}")

    def _exchange(self, body: bytes) -> Answer:
        """One exchange. Of connections that were kept, those that the server has closed are thrown away."""
        patience = self._patience
        while True:
            connection = self._take()
            is_kept = False
            try:
                answer = connection.exchange(
                    body, self._headers, patience.connect_timeout_s, patience.timeout_s, patience.max_answer_bytes
                )
                is_kept = answer.is_kept
                return answer
            except TimeoutError as exc:
                raise _Failed("did not answer in time") from exc
            except (OSError, http.client.HTTPException) as exc:
                self._check_open()
                was_dropped = isinstance(exc, (ConnectionError, http.client.BadStatusLine))
                if not (connection.is_used and was_dropped):
                    raise _Failed(f"cannot be asked: {_kind_of(exc)}") from exc
            finally:
                self._give_back(connection, is_kept)

    def _take(self) -> TimedConnection:
        self._check_open()
        with self._lock:
            connection = self._idle.pop() if self._idle else TimedConnection(self._address)
            self._busy.add(connection)
        return connection

    def _give_back(self, connection: TimedConnection, is_kept: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if is_kept and not self._closed.is_set():
                self._idle.append(connection)
                return
        connection.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ModelUnavailable(f"{self._name} is not asked any more: the server is shutting down")

    def _check_asked(self) -> None:
        with self._lock:
            left_s = self._asked_from - self._clock()
            if left_s > 0.0:
                raise ModelUnavailable(
                    f"{self._name} is not asked for a while: it failed {self._n_failed} times in a row",
                    retry_after_s=left_s,
                )

    def _note_failure(self) -> None:
        with self._lock:
            self._n_failed += 1
            if self._n_failed >= N_FAILURES:
                n_doubled = min(self._n_failed - N_FAILURES, 10)  # a server may be away for days
                self._asked_from = self._clock() + min(2.0**n_doubled, LONGEST_PAUSE_S)

    def _pause_s(self, n_tried: int) -> float:
        longest: float = min(FIRST_PAUSE_S * 2.0 ** (n_tried - 1), LONGEST_PAUSE_S)
        return longest * (0.5 + 0.5 * random.random())


def _kind_of(exc: Exception) -> str:
    """What went wrong, without what the system says of addresses."""
    return type(exc).__name__


def _retry_after_s(answer: Answer) -> float:
    """What the answer's Retry-After says, seconds or a date; 0 where it says nothing that makes sense."""
    text = answer.headers.get("Retry-After", "")
    try:
        if text.strip().isdecimal():
            return float(text)
        moment = parsedate_to_datetime(text)
        return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _code_of(body: bytes) -> str:
    """` (code)` where a refusal of OpenAI's shape has one: a word, never a text, which may repeat what was sent."""
    try:
        found = msgspec.json.decode(body[:_MAX_REFUSAL_BYTES])
    except (msgspec.DecodeError, RecursionError):
        return ""
    error = found.get("error", found) if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return ""
    for name in ("code", "type"):
        code = error.get(name)
        if isinstance(code, str) and 1 <= len(code) <= 64 and code.isascii() and code.replace("_", "").isalnum():
            return f" ({code})"
    return ""
