"""Worker processes: started when first needed, kept for the next document, replaced after a crash or a timeout."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vdb.errors import BY_CODE, ShuttingDown, Unavailable, UnreadableDocument
from vdb.rag.extract import wire
from vdb.rag.extract.formats import Parsed

__all__ = ["Workers"]

_START = "import sys; sys.path.append(sys.argv[2]); from vdb.rag.extract.worker import main; main(int(sys.argv[1]))"
"""The folder of packages comes last, and -P leaves out the current one: no file of a user's is imported by its name."""

_MAX_ASKS = 500
"""Documents after which a worker is replaced; libraries' caches grow."""

_LARGE_BYTES = 8 << 20
"""A worker that has read so much is replaced: its memory would not all be given back."""

_WALL_SHARE = 4
"""A document may take so many times its processor time by the clock: the machine may be busy."""

_MAX_ANSWER_BYTES = 1 << 32


class Workers:
    """Up to `n_workers` processes. Safe to use from many threads, which take turns; whoever made it closes it."""

    def __init__(self, n_workers: int, cpu_s: float, memory_bytes: int) -> None:
        self._cpu_s, self._memory_bytes = cpu_s, memory_bytes
        self._turn = threading.BoundedSemaphore(n_workers)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._is_closed = False

    def parse(self, ask: wire.Ask) -> Parsed:
        """The document as a worker reads it.

        Raises what the worker raised, UnreadableDocument where it took too long or ended, Unavailable where none can be
        started, ShuttingDown after `close`.
        """
        with self._worker() as worker:
            answer = worker.ask(ask, self._cpu_s * _WALL_SHARE)
        if isinstance(answer, wire.Answer):
            return answer.parsed
        if self._is_closed:
            raise ShuttingDown("the server shuts down")
        if isinstance(answer, wire.Failure):
            raise BY_CODE[answer.code](answer.detail)
        raise UnreadableDocument(self._reason(worker))

    def close(self) -> None:
        """Ends the processes, busy ones too."""
        with self._lock:
            self._is_closed = True
            workers, self._idle = list(self._all), []
        for worker in workers:
            worker.end()

    @contextlib.contextmanager
    def _worker(self) -> Iterator["_Worker"]:
        """A worker of one's own, for one document."""
        with self._turn:
            worker = self._taken()
            try:
                yield worker
            finally:
                self._put_back(worker)

    def _taken(self) -> "_Worker":
        with self._lock:
            if self._is_closed:
                raise ShuttingDown("the server shuts down")
            while self._idle:
                worker = self._idle.pop()
                if worker.is_running:
                    return worker
                self._all.discard(worker)
                worker.end()
            try:
                worker = _Worker(self._memory_bytes)
            except OSError as exc:
                raise Unavailable(f"no process can be started to read the document: {exc.strerror}") from exc
            self._all.add(worker)
            return worker

    def _put_back(self, worker: "_Worker") -> None:
        with self._lock:
            if worker.is_worth_keeping and not self._is_closed:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.end()

    def _reason(self, worker: "_Worker") -> str:
        if worker.is_late or worker.returncode == -signal.SIGXCPU:
            return f"reading the document takes longer than {self._cpu_s:g} s"
        return (
            f"the document cannot be read: it takes more than {self._memory_bytes >> 20:,} MiB of memory, or is damaged"
        )


class _Worker:
    """One process. Used by one thread at a time, but for `end`."""

    def __init__(self, memory_bytes: int) -> None:
        root = str(Path(__file__).parents[3])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(memory_bytes), root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._n_asks = 0
        self.is_late = False
        self.is_worth_keeping = True

    @property
    def is_running(self) -> bool:
        """Whether the process was there a moment ago: the system may have ended an idle one."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def ask(self, ask: wire.Ask, wall_s: float) -> wire.Answer | wire.Failure | None:
        """The answer; None where the process took too long or ended, after which it is of no more use."""
        timer = threading.Timer(wall_s, self._kill_late)
        timer.daemon = True
        timer.start()
        try:
            answer = self._exchanged(wire.encode(ask))
        finally:
            timer.cancel()
        self._n_asks += 1
        is_spent = self._n_asks >= _MAX_ASKS or len(ask.data) > _LARGE_BYTES
        if answer is None or is_spent or self.is_late:
            self.is_worth_keeping = False
        if answer is None:
            self.end()
        return answer

    def end(self) -> None:
        """Ends the process, if it has not ended, and closes the pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _exchanged(self, frame: bytes) -> wire.Answer | wire.Failure | None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            wire.write_frame(self._process.stdin, frame)
            answer = wire.read_frame(self._process.stdout, _MAX_ANSWER_BYTES)
            return None if answer is None else wire.decode_answer(answer)
        except (
            OSError,
            ValueError,
            msgspec.DecodeError,
        ):  # it ended while it was asked; ValueError: the pipe is closed
            return None

    def _kill_late(self) -> None:
        self.is_late = True
        self._process.kill()
