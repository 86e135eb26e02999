"""Results of writer threads on their way to the event loop: one wake-up of the loop for all that are ready."""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import Any


class Delivery:
    """Turns the engine's futures into awaitables of one loop. `wait` is called on the loop.

    `asyncio.wrap_future` wakes the loop once per future; a commit resolves many at once, and each wake-up is a system
    call made by the thread that should be committing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_scheduled = False

    async def wait(self, source: "Future[Any]") -> Any:
        """The future's result, or its error."""
        if source.done():
            return source.result()
        loop = asyncio.get_running_loop()
        target: asyncio.Future[Any] = loop.create_future()
        source.add_done_callback(lambda done: self._put(loop, target, done))
        return await target

    def _put(self, loop: asyncio.AbstractEventLoop, target: "asyncio.Future[Any]", source: "Future[Any]") -> None:
        with self._lock:
            self._ready.append((target, source))
            if self._is_scheduled:
                return
            self._is_scheduled = True
        loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        with self._lock:
            ready = list(self._ready)
            self._ready.clear()
            self._is_scheduled = False
        for target, source in ready:
            if target.cancelled():
                continue
            error = source.exception()
            if error is not None:
                target.set_exception(error)
            else:
                target.set_result(source.result())
