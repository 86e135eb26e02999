"""The accelerator of a server: one device, one thread that uses it, and those who wait for it.

A search hands its queries over and waits. Whatever goes wrong there is no search's error: it is told why, and does on
the CPU what it asked for. A device without memory is left alone for a while and then holds less; one that is lost is
not asked again.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from vdb.engine.acceleration.backoff import Backoff
from vdb.engine.acceleration.figures import Declined, Figures
from vdb.engine.acceleration.residents import Make, Residents
from vdb.engine.acceleration.waiting import Piece, Request, Waiting
from vdb.index.curator.index import CuratorIndex, Found
from vdb.index.curator.resident import Ask, ResidentIndex
from vdb.kernels import acceleration
from vdb.kernels.device import Device, DeviceLost, OutOfDeviceMemory

__all__ = ["HANGS_S", "IDLE_S", "MOST_FAILURES", "N_QUERIES", "PATIENCE_S", "Accelerator", "always"]

logger = logging.getLogger(__name__)

N_QUERIES: Final = 512
"""Queries of a batch at most."""
PATIENCE_S: Final = 2.0
"""A search that has not begun on the device by then is the CPU's."""
HANGS_S: Final = 30.0
"""One that has begun, likewise."""
IDLE_S: Final = 5.0
"""How often the copies of indexes that are gone are freed, where nobody asks."""
MOST_FAILURES: Final = 8
"""A device that fails so often in a row is taken for lost."""


def always() -> bool:
    """Somebody waits for it."""
    return True


class Accelerator:
    """Any thread searches, but none that others wait for, such as an event loop's. Whoever made it closes it; the
    device is closed with it. `most_bytes`: what copies of indexes may take of its memory; `turn`: what others who use
    the device wait for."""

    def __init__(
        self,
        device: Device,
        most_bytes: int,
        wait_s: float = 0.0,
        n_queries: int = N_QUERIES,
        patience_s: float = PATIENCE_S,
        make: Make = ResidentIndex,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.name = device.name
        self.figures = Figures()
        self.is_lost = False
        self.residents = Residents(device, most_bytes, make)
        self.device = device
        self._patience_s = patience_s
        self._turn = turn
        self._waiting = Waiting(n_queries, wait_s, self.figures)
        self._memory = Backoff()
        self._failures = Backoff()
        self._thread = threading.Thread(target=self._run, name="vdb-device", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Queries that wait for it."""
        return self._waiting.n_waiting

    def search(
        self, index: CuratorIndex, tenant: int, asks: Sequence[Ask], is_wanted: Callable[[], bool] = always
    ) -> Sequence[Found | str]:
        """What is found for each ask, or why the CPU is to answer it: a `Declined` or a `Refusal`. Raises nothing.

        `is_wanted` is asked when their turn comes, on another thread: what nobody waits for any more is left out.
        """
        reason = self._unable()
        if reason is None:
            request = Request(index, tenant, asks, is_wanted)
            reason = self._waiting.put(request)
        if reason is not None:
            return self._told([reason] * len(asks))
        if not request.is_done.wait(self._patience_s):
            self._waiting.withdraw(request)
            request.is_done.wait(HANGS_S if request.n_begun else 0)
        return self._told(list(request.found))

    def close(self) -> None:
        """Tell all that wait, and all that come, that the CPU answers; free what is held."""
        self._waiting.close()
        self._thread.join(HANGS_S)

    def _told(self, found: Sequence[Found | str]) -> Sequence[Found | str]:
        declined = self.figures.declined
        n_declined = 0
        for one in found:
            if isinstance(one, str):
                declined[str(one)] += 1
                n_declined += 1
        self.figures.n_searched += len(found) - n_declined
        return found

    def _unable(self) -> Declined | None:
        if self.is_lost:
            return Declined.LOST
        if self._memory.is_pausing:
            return Declined.MEMORY
        return Declined.FAILED if self._failures.is_pausing else None

    # On the thread that uses the device

    def _run(self) -> None:
        has_more = False
        while (batch := self._waiting.take(0.0 if has_more else IDLE_S)) is not None:
            if batch:
                self._answer(batch)
                batch.clear()  # what was searched is not kept until the next
                has_more = True
            else:
                has_more = self._bring_in()
        try:
            with self._turn():
                self._let_go()
        except Exception as exc:  # the server stops anyway
            logger.warning("a device was not closed", exc_info=exc, extra={"device": self.name})

    def _answer(self, batch: list[Piece]) -> None:
        """Each index is asked once for all pieces that search it."""
        by_index: dict[int, list[Piece]] = {}
        for piece in batch:
            by_index.setdefault(id(piece.request.index), []).append(piece)
        self.figures.n_batches += 1
        self.figures.n_batched += sum(len(piece) for piece in batch)
        self.figures.n_requests += len({id(piece.request) for piece in batch})
        for pieces in by_index.values():
            index = pieces[0].request.index
            asks = [ask for piece in pieces for ask in piece.asks]
            found = self._found(index, asks)
            first = 0
            for piece in pieces:
                piece.settle(found[first : first + len(piece)])
                first += len(piece)

    def _found(self, index: CuratorIndex, asks: Sequence[Ask]) -> Sequence[Found | str]:
        found: Sequence[Found | str] = ()

        def search() -> None:
            nonlocal found
            self.residents.tidy()
            resident = self.residents.of(index)
            found = resident.search(asks) if resident is not None else [Declined.MEMORY] * len(asks)
            assert len(found) == len(asks), "each ask has an answer"

        reason = self._unable() or self._guarded(index, search)
        if reason is not None:
            return [reason] * len(asks)
        self._memory.succeed()
        self._failures.succeed()
        return found

    def _bring_in(self) -> bool:
        """While nobody waits: free what is gone, have a part come of what is to be there; whether there is more."""
        has_more = False

        def bring() -> None:
            nonlocal has_more
            self.residents.tidy()
            has_more = self.residents.bring_in()

        return self._unable() is None and self._guarded(None, bring) is None and has_more

    def _guarded(self, index: CuratorIndex | None, work: Callable[[], None]) -> Declined | None:
        """Do something on the device; why it failed, if it did."""
        try:
            with self._turn():
                work()
        except OutOfDeviceMemory as exc:
            self._has_no_memory(exc)
            return Declined.MEMORY
        except DeviceLost as exc:
            self._is_gone(exc)
            return Declined.LOST
        except Exception as exc:  # whatever it was, no search fails of it
            self._has_failed(index, exc)
            return Declined.FAILED
        return None

    def _has_no_memory(self, exc: Exception) -> None:
        self.figures.n_out_of_memory += 1
        self._memory.fail()
        try:
            self.residents.shrink()
        except DeviceLost as lost:
            self._is_gone(lost)
        except Exception as again:
            self._has_failed(None, again)
        logger.warning(
            "a device is out of memory, less of indexes is kept there",
            exc_info=exc,
            extra={"device": self.name, "most_bytes": self.residents.most_bytes},
        )

    def _has_failed(self, index: CuratorIndex | None, exc: Exception) -> None:
        self.figures.n_failures += 1
        self._failures.fail()
        if self._failures.n_in_a_row >= MOST_FAILURES:
            self._is_gone(exc)
            return
        logger.error("a device failed, the CPU answers", exc_info=exc, extra={"device": self.name})
        if index is not None:
            try:
                self.residents.drop(index)
            except Exception as again:
                self._is_gone(again)

    def _is_gone(self, exc: Exception) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        logger.error("a device is lost, the CPU answers from now on", exc_info=exc, extra={"device": self.name})
        if acceleration.device() is self.device:
            acceleration.set_device(None)  # builds go on without it too
        try:
            with self._turn():  # others may be using it still
                self._let_go()
        except Exception as again:  # nothing that it held is there any more
            logger.debug("a lost device was not closed", exc_info=again, extra={"device": self.name})

    def _let_go(self) -> None:
        self.residents.close()
        self.device.close()
