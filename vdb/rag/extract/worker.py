"""The worker process: reads documents one after another under limits of memory and processor time.

It is asked over its standard input and answers over its standard output (`wire`). A thread of its own waits for the
next question, so that the process ends at once when the server is gone, whatever it is doing. It logs nothing and
writes no files: libraries may name a document's text in their warnings.
"""

import contextlib
import logging
import math
import os
import resource
import sys
import threading
from queue import SimpleQueue

from vdb.errors import UnreadableDocument, VdbError
from vdb.rag.extract import wire
from vdb.rag.extract.formats import parse

__all__ = ["main"]

_MAX_ASK_BYTES = 1 << 40
"""The server checks sizes; a frame of its own is believed."""


def main(memory_bytes: int) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):  # nothing a library prints may get between the answers, or anywhere else
        os.dup2(quiet, descriptor)
    logging.disable(logging.CRITICAL)
    _limit(memory_bytes)
    asks: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(asks,), daemon=True).start()
    while True:
        wire.write_frame(answers, wire.encode(_answer(wire.decode_ask(asks.get()))))


def _receive(asks: "SimpleQueue[bytes]") -> None:
    try:
        file = os.fdopen(0, "rb")
        while (frame := wire.read_frame(file, _MAX_ASK_BYTES)) is not None:
            asks.put(frame)
    finally:
        os._exit(0)


def _limit(memory_bytes: int) -> None:
    """Systems without one of the limits (macOS has none of address space) do without it."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _allow(cpu_s: float) -> None:
    """The process is ended by the system when it takes more than this from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + cpu_s)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _answer(ask: wire.Ask) -> wire.Answer | wire.Failure:
    _allow(ask.cpu_s)
    try:
        return wire.Answer(parse(ask.data, ask.media_type, ask.options, ask.max_chunks))
    except VdbError as error:
        return wire.Failure(error.code, error.detail)
    except RecursionError:
        return wire.Failure(UnreadableDocument.code, "the document nests too deep to be read")


if __name__ == "__main__":
    main(int(sys.argv[1]))
