"""Judges: who is asked, over HTTP, whether two answers say the same, where a category's policy names one.

A judge gets a POST of JSON: `question` and `answer` (fresh), `cached_question` and `cached_answer` (the candidate's).
It answers 200 with `{"verdict": "right"}` or `{"verdict": "wrong"}`. It is asked after the store was answered; no
verdict is no label. The address is an admin's; redirects are not followed, and an answer is read up to its cap.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from vdb.rag.connection import address_of
from vdb.rag.endpoint import Endpoint, Patience

logger = logging.getLogger(__name__)

MAX_WAITING = 256
"""Questions that wait for a judge; beyond them, none is asked."""
PATIENCE = Patience(timeout_s=30.0, n_retries=0, concurrency=1, max_answer_bytes=65_536)
N_THREADS = 2


class Opinion(Struct):
    """What a judge answers; it may say more, which is not read."""

    verdict: Literal["right", "wrong"]


@dataclass(frozen=True, slots=True)
class Case:
    """Two questions and their answers, JSON."""

    url: str
    question: str
    answer: bytes
    cached_question: str
    cached_answer: bytes

    def body(self) -> bytes:
        return msgspec.json.encode(
            {
                "question": self.question,
                "answer": Raw(self.answer),
                "cached_question": self.cached_question,
                "cached_answer": Raw(self.cached_answer),
            }
        )


class Judge:
    """Asks judges on threads of its own. Whoever made it closes it."""

    def __init__(self) -> None:
        self._room = BoundedSemaphore(MAX_WAITING)
        self._threads = ThreadPoolExecutor(N_THREADS, "vdb-judge")
        self.n_asked = self.n_failed = 0

    def ask(self, read: Callable[[], Case | None], take: Callable[[bool], None]) -> bool:
        """Have the case that `read` finds judged, and `take` told whether the candidate was right.

        Both run on the judge's thread. False where too many wait.
        """
        if not self._room.acquire(blocking=False):
            return False
        try:
            self._threads.submit(self._judge, read, take)
        except RuntimeError:  # it is being closed
            self._room.release()
            return False
        return True

    def _judge(self, read: Callable[[], Case | None], take: Callable[[bool], None]) -> None:
        try:
            case = read()
            if case is not None:
                self.n_asked += 1
                take(verdict_of(case) == "right")
        except Exception as exc:  # nobody waits for it: the lookup stays without a label
            self.n_failed += 1
            logger.warning("a judge gave no verdict: %s", type(exc).__name__)
        finally:
            self._room.release()

    def close(self) -> None:
        """Ask nobody any more; who is being asked is waited for."""
        self._threads.shutdown(cancel_futures=True)


def verdict_of(case: Case) -> str:
    """The verdict; raises VdbError, MsgspecError where there is none."""
    endpoint = Endpoint("the judge", address_of(case.url, "judge_url"), PATIENCE)
    try:
        return msgspec.json.decode(endpoint.post(case.body()), type=Opinion).verdict
    finally:
        endpoint.close()
