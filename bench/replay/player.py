"""Plays a schedule of requests and says of each when it was due, noticed, sent and answered.

Open loop as in `bench.noisy.openloop`, on its connections: a request is due at its time whether or not earlier ones
were answered, and what it waits for a connection counts. One that is not answered `timeout_s` after it was due is
given up, with its connection.
"""

import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.noisy.openloop import Line
from bench.tenants.workload import Float64s

__all__ = ["BROKEN", "TIMED_OUT", "Outcome", "Player"]


TIMED_OUT, BROKEN = 0, -1
"""In the place of a status: given up; the connection ended before the answer."""


@dataclass(slots=True, eq=False)
class Outcome:
    """Of each request, in seconds from the start, float64 (n,): nan for what did not happen. `status` int64 (n,).

    `due`: from the schedule. `noticed`: when the client came to it, which shows a client that is too slow. `sent`: when
    a connection was free. `done`: when the whole answer was there.
    """

    due: Float64s
    noticed: Float64s
    sent: Float64s
    done: Float64s
    status: NDArray[np.int64]

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Answered with 2xx in time, bool (n,)."""
        return (self.status >= 200) & (self.status < 300)


class Player:
    """Plays a schedule over `n_connections`. For one thread; `close` it."""

    def __init__(self, port: int, n_connections: int, timeout_s: float, host: str = "127.0.0.1") -> None:
        self._place = port, host
        self._timeout_s = timeout_s
        self._idle = deque(Line(port, host) for _ in range(n_connections))
        self._busy: dict[Line, int] = {}

    def close(self) -> None:
        for line in (*self._idle, *self._busy):
            line.socket.close()

    def play(self, requests: Sequence[bytes], due_s: Float64s) -> Outcome:
        """Send request i at `due_s[i]` seconds from now, ascending."""
        n = len(requests)
        noticed, sent, done = np.full((3, n), np.nan)
        outcome = Outcome(due_s, noticed, sent, done, np.full(n, TIMED_OUT, np.int64))
        waiting: deque[int] = deque()
        began, n_due = time.perf_counter(), 0
        due = due_s.tolist()
        while n_due < n or waiting or self._busy:
            now = time.perf_counter() - began
            while n_due < n and due[n_due] <= now:
                outcome.noticed[n_due] = now
                waiting.append(n_due)
                n_due += 1
            self._give_up(waiting, due, now)
            while waiting and self._idle:
                self._begin(waiting.popleft(), requests, outcome, began)
            self._await(self._pause(due, n_due, waiting, began), outcome, began)
        return outcome

    def _begin(self, number: int, requests: Sequence[bytes], outcome: Outcome, began: float) -> None:
        line = self._idle.popleft()
        outcome.sent[number] = time.perf_counter() - began
        self._busy[line] = number
        try:
            line.begin(requests[number], began + outcome.due[number])
        except OSError:
            self._lose(line, number, outcome)

    def _give_up(self, waiting: deque[int], due: list[float], now: float) -> None:
        """What has been due for too long is over: its status stays that of a timeout."""
        latest = now - self._timeout_s
        while waiting and due[waiting[0]] <= latest:
            waiting.popleft()
        for line in [line for line, number in self._busy.items() if due[number] <= latest]:
            self._replace(line)

    def _pause(self, due: list[float], n_due: int, waiting: deque[int], began: float) -> float:
        """Seconds until something is due or must be given up."""
        moments = [
            due[number] + self._timeout_s for number in (*self._busy.values(), *([waiting[0]] if waiting else []))
        ]
        if n_due < len(due):
            moments.append(due[n_due])
        return max(0.0, min(moments) - (time.perf_counter() - began)) if moments else 0.0

    def _await(self, timeout_s: float, outcome: Outcome, began: float) -> None:
        unsent = [line for line in self._busy if line.has_unsent]
        readable, writable, _ = select.select(list(self._busy), unsent, (), timeout_s)
        for line in {*readable, *writable}:
            number = self._busy[line]
            try:
                if line.has_unsent:
                    line.push()
                is_whole = line in readable and line.is_answered()
            except (OSError, ValueError):  # closed, reset, or no HTTP
                self._lose(line, number, outcome)
                continue
            if is_whole:
                outcome.done[number] = time.perf_counter() - began
                outcome.status[number] = int(line.status)
                del self._busy[line]
                self._idle.append(line)

    def _lose(self, line: Line, number: int, outcome: Outcome) -> None:
        outcome.status[number] = BROKEN
        self._replace(line)

    def _replace(self, line: Line) -> None:
        """A new connection in the place of one in hand."""
        del self._busy[line]
        line.socket.close()
        self._idle.append(Line(*self._place))
