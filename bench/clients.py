"""Client processes that start at one moment: the server needs a core that no client's interpreter holds.

A client is a function of a module `(number, *arguments) -> Callable[[], T]`: it prepares itself, and what it returns is
run once all clients are ready. They come from a fork server, which has nothing of the benchmark's own process but what
it imports: no threads, no sockets.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from typing import Any, Concatenate, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

Prepare = Callable[Concatenate[int, P], Callable[[], T]]


def run_processes(n: int, prepare: Prepare[P, T], *arguments: P.args, **options: P.kwargs) -> tuple[float, list[T]]:
    """Run `n` clients, each in a process; returns the seconds from the common start to the last end, and the results.

    Raises what a client raised.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", prepare.__module__])
    pipes, processes = [], []
    for number in range(n):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, prepare, number, arguments, options), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            _received(pipe)
        began = time.monotonic()
        for pipe in pipes:
            pipe.send("start")
        results: list[T] = [_received(pipe) for pipe in pipes]
        took_s = time.monotonic() - began
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()
    return took_s, results


def run_threads(calls: list[Callable[[], T]]) -> list[T]:
    """Run calls at once, each in a thread of its own; raises what one of them raised."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def _serve(pipe: Pipe, prepare: Prepare[..., T], number: int, arguments: Any, options: Any) -> None:
    """A client process: ready, start, result. An error travels in the place of either answer."""
    try:
        call = prepare(number, *arguments, **options)
        pipe.send("ready")
        pipe.recv()
        pipe.send(call())
    except EOFError:  # the parent has given up
        return
    except Exception as exc:
        pipe.send(exc)


def _received(pipe: Pipe) -> Any:
    answer = pipe.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer
