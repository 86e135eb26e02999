"""Runs one contender for a race: requests come as lines of JSON on standard input, answers go to standard output.

Requests, by `do`:
- `start` → what measuring adds to each query, and the memory of a process that holds no index yet
- `build`: `vectors` (.npy), `metric`, `folder`, `threads` → seconds, CPU, growth of memory, parameters, settings
- `save` → bytes on disk, or null where it cannot be saved
- `load`: `vectors`, `metric`, `folder`, `k`, and `setting` for the first search, without it the fastest → seconds until
  the first answer is there, those of its search, how many hits it has, settings
- `memory` → growth of memory since before it was built or loaded
- `ask`: `queries` (.npy), `setting`, `k`, `n_warm`, `answers` (.npz to write) → CPU of the whole process per query
- `end`
An answer is {"error": …} where something failed, {"left out": …} where the contender takes no part. `answers` holds
`rows` int64 (q, k), padded with −1, and `wall_us`, `cpu_us` float64 (q,): the clock's and the thread's CPU time.

Growth of memory is taken after freed memory went back to the system, so that it is what the index keeps and not what
its build once took. Libraries were loaded before: what they take stands in the answer to `start`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contender import Contender, Float32s, LeftOut, Rows

Request = dict[str, Any]
Found = dict[str, Any]

N_EMPTY = 2_000
"""Searches of nothing by which the cost of measuring is told."""
_DIES_WITH_PARENT = 1
"""Linux: PR_SET_PDEATHSIG."""


def serve(contender: Contender) -> None:
    """Answer requests until `end`, the end of the input, or of the process that asks.

    What libraries print goes to standard error.
    """
    if sys.platform == "linux":  # a long build does not look at its input
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    runner = Runner(contender)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            break
        answers.write(json.dumps(_answer(runner, request)) + "\n")
    contender.close()


def _answer(runner: Runner, request: Request) -> Found:
    try:
        return runner.actions[request["do"]](request)
    except LeftOut as exc:
        return {"left out": str(exc)}
    except Exception as exc:  # whatever a library may raise: the race goes on without it
        traceback.print_exc()
        return {"error": f"{type(exc).__name__}: {exc}"[:500]}


class Runner:
    """The requests' actions on one contender."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._folder = Path()
        self._before: dict[str, int] = {}
        self.actions: dict[str, Callable[[Request], Found]] = {
            "start": self._start,
            "build": self._build,
            "save": self._save,
            "load": self._load,
            "memory": self._memory,
            "ask": self._ask,
        }

    def _start(self, _: Request) -> Found:
        """The loop of `_ask` around no search: what measuring adds to the times."""
        nothing = np.zeros((N_EMPTY, 1), np.float32)
        none = np.zeros(1, np.int64)
        passes = (_timed(lambda query, k: none, nothing, 1) for _ in range(2))  # the first fills the caches
        wall_us, cpu_us, all_us = list(passes)[-1][1:]
        clock_us = float(np.median(cpu_us))
        return {
            "clock us": clock_us,
            "clock us of wall": float(np.median(wall_us)),
            "loop us": max(0.0, all_us - float(cpu_us.mean())),
            "resident bytes of libraries": memory()["VmRSS"],
        }

    def _build(self, request: Request) -> Found:
        self._before = memory()  # the vectors come after: a contender that keeps them holds them
        vectors: Float32s = np.load(request["vectors"])
        self._folder = Path(request["folder"])
        began, began_cpu = time.perf_counter(), time.process_time()
        parameters = self._contender.build(vectors, request["metric"], self._folder, request["threads"])
        build_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        del vectors
        return {
            "build s": build_s,
            "build CPU s": cpu_s,
            "parameters": parameters,
            "settings": list(self._contender.settings),
            **self._memory({}),
        }

    def _save(self, _: Request) -> Found:
        is_saved = self._contender.save(self._folder)
        files = [path.stat() for path in self._folder.rglob("*") if path.is_file()]
        return {"disk bytes": sum(one.st_blocks * 512 for one in files) if is_saved else None}

    def _load(self, request: Request) -> Found:
        self._folder = Path(request["folder"])
        query: Float32s = np.array(np.load(request["vectors"], mmap_mode="r")[0])
        self._before, began = memory(), time.perf_counter()
        self._contender.load(self._folder)
        settings = list(self._contender.settings)
        self._contender.use(request.get("setting", settings[0]))
        loaded = time.perf_counter()
        found = self._contender.search(query, request["k"])
        ended = time.perf_counter()
        times = {"restart s": ended - began, "first search s": ended - loaded}
        return times | {"first hits": int((np.asarray(found) >= 0).sum()), "settings": settings}

    def _memory(self, _: Request) -> Found:
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        after = memory()
        return {
            "resident bytes": after["VmRSS"] - self._before["VmRSS"],
            "anonymous bytes": after["RssAnon"] - self._before["RssAnon"],
        }

    def _ask(self, request: Request) -> Found:
        queries: Float32s = np.load(request["queries"])
        self._contender.use(request["setting"])
        for query in queries[: request["n_warm"]]:
            self._contender.search(query, request["k"])
        rows, wall_us, cpu_us, all_us = _timed(self._contender.search, queries, request["k"])
        np.savez(request["answers"], rows=rows, wall_us=wall_us, cpu_us=cpu_us)
        return {"process CPU us": all_us}


def _timed(
    search: Callable[[Float32s, int], Rows], queries: Float32s, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], float]:
    """Rows (q, k), µs of the clock and of the thread's CPU (q,), and CPU µs of the whole process per query."""
    n, wall, cpu = len(queries), time.perf_counter_ns, time.thread_time_ns
    rows, wall_us, cpu_us = np.full((n, k), -1, np.int64), np.empty(n), np.empty(n)
    began_all = time.process_time_ns()
    for i, query in enumerate(queries):
        began, began_cpu = wall(), cpu()
        found = search(query, k)
        cpu_us[i], wall_us[i] = (cpu() - began_cpu) / 1e3, (wall() - began) / 1e3
        rows[i, : len(found)] = found
    return rows, wall_us, cpu_us, (time.process_time_ns() - began_all) / 1e3 / n


def memory() -> dict[str, int]:
    """Bytes of this process in RAM: all, and those that no file backs; 0 where there is no /proc."""
    path = Path("/proc/self/status")
    found = dict.fromkeys(("VmRSS", "RssAnon"), 0)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0]) * 1024
    return found
