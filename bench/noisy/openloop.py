"""An open-loop client: requests leave by schedule, and latency counts from the scheduled moment.

Whether answers come or not, the next request is due at its time; one that finds no connection free waits, and its wait
counts (no coordinated omission). One thread, prepared requests, raw sockets, `select` (its timeout is exact to
microseconds, that of `epoll` to a millisecond).
"""

import math
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_CHUNK_BYTES = 1 << 18
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
_LATE_S = 10.0
"""How long answers are waited for after the last request was due."""


@dataclass(slots=True)
class Outcome:
    """What came of a schedule: seconds from the scheduled moment to the whole answer, of those that were 2xx."""

    latencies_s: list[float] = field(default_factory=list)
    n_refused: int = 0
    n_failed: int = 0
    n_unanswered: int = 0

    @property
    def n_sent(self) -> int:
        return len(self.latencies_s) + self.n_refused + self.n_failed + self.n_unanswered

    def percentile_ms(self, share: float) -> float:
        """The latency, in milliseconds, that `share` of the answers did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] * 1e3


class Line:
    """One connection with at most one request in hand."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._head = b""
        self._missing = -1
        self._unsent = memoryview(b"")
        self.due_s = 0.0
        self.status = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def begin(self, request: bytes, due_s: float) -> None:
        """Send a request, as much of it as goes at once."""
        self.due_s = due_s
        self._unsent = memoryview(request)
        self.push()

    def push(self) -> None:
        """Send more of the request."""
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return

    def is_answered(self) -> bool:
        """Read what has come; whether the answer is there whole. Raises ConnectionError where the server closed."""
        received = self.socket.recv(_CHUNK_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        if self._missing < 0:
            self._head += received
            end = self._head.find(_END_OF_HEAD)
            if end < 0:
                return False
            head = self._head[:end].lower()
            length = int(head[head.index(_LENGTH) + len(_LENGTH) :].split(b"\r", 1)[0])
            self._missing = length - (len(self._head) - end - len(_END_OF_HEAD))
            self.status = head[9:12]
        else:
            self._missing -= len(received)
        if self._missing > 0:
            return False
        self._head, self._missing = b"", -1
        return True


class Player:
    """Plays a schedule over `n_connections`. For one thread; `close` it."""

    def __init__(self, port: int, n_connections: int) -> None:
        self._idle = [Line(port) for _ in range(n_connections)]
        self._busy: list[Line] = []

    def close(self) -> None:
        for line in (*self._idle, *self._busy):
            line.socket.close()

    def play(self, requests: Sequence[bytes], due_s: Sequence[float]) -> Outcome:
        """Send request i (in turn, from the first again) at `due_s[i]` seconds from now, ascending."""
        outcome, waiting = Outcome(), deque[tuple[bytes, float]]()
        began, n_due = time.perf_counter(), 0
        end = began + (due_s[-1] if due_s else 0.0) + _LATE_S
        while n_due < len(due_s) or waiting or self._busy:
            now = time.perf_counter()
            if now > end:
                break
            while n_due < len(due_s) and began + due_s[n_due] <= now:
                waiting.append((requests[n_due % len(requests)], began + due_s[n_due]))
                n_due += 1
            while waiting and self._idle:
                line = self._idle.pop(0)  # in turn: the server closes one that is idle for long
                line.begin(*waiting.popleft())
                self._busy.append(line)
            until = began + due_s[n_due] if n_due < len(due_s) else end
            self._await(max(0.0, until - time.perf_counter()), outcome)
        outcome.n_unanswered += len(waiting) + len(self._busy)
        return outcome

    def _await(self, timeout_s: float, outcome: Outcome) -> None:
        unsent = [line for line in self._busy if line.has_unsent]
        readable, writable, _ = select.select(self._busy, unsent, (), timeout_s)
        for line in writable:
            line.push()
        for line in readable:
            if not line.is_answered():
                continue
            self._busy.remove(line)
            self._idle.append(line)
            if line.status[:1] == b"2":
                outcome.latencies_s.append(time.perf_counter() - line.due_s)
            elif line.status in (b"429", b"503"):
                outcome.n_refused += 1
            else:
                outcome.n_failed += 1


def every(per_s: float, seconds: float, start_s: float = 0.0) -> list[float]:
    """Evenly spaced moments."""
    return [start_s + i / per_s for i in range(int(per_s * seconds))]
