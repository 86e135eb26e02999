"""Runs one contender for a race: requests come as lines of JSON on standard input, answers go to standard output.

Requests, by `do`:
- `wait`: nothing, once the program with what it imports is there
- `build`: `vectors` (.npy), `metric`, `folder`, `threads` → seconds, CPU, growth of memory, parameters, settings
- `save` → bytes on disk, or null where it cannot be saved
- `load`: `vectors`, `metric`, `folder` → seconds until it is there, growth of memory, settings
- `ask`: `queries` (.npy), `setting`, `k`, `n_warm`, `answers` (.npz to write) → CPU of the whole process per query
- `end`
An answer is {"error": …} where something failed, {"left out": …} where the contender takes no part. `answers` holds
`rows` int64 (q, k), padded with −1, and `wall_us`, `cpu_us` float64 (q,): the clock's and the thread's CPU time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .contender import Contender, Float32s, LeftOut

Request = dict[str, Any]
Found = dict[str, Any]


def serve(contender: Contender) -> None:
    """Answer requests until `end` or the end of the input. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    runner = _Runner(contender)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            break
        answers.write(json.dumps(_answer(runner, request)) + "\n")
    contender.close()


def _answer(runner: _Runner, request: Request) -> Found:
    try:
        return runner.actions[request["do"]](request)
    except LeftOut as exc:
        return {"left out": str(exc)}
    except Exception as exc:  # whatever a library may raise: the race goes on without it
        traceback.print_exc()
        return {"error": f"{type(exc).__name__}: {exc}"[:500]}


class _Runner:
    """The requests' actions on one contender."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._folder = Path()
        self.actions: dict[str, Callable[[Request], Found]] = {
            "wait": lambda _: {},
            "build": self._build,
            "save": self._save,
            "load": self._load,
            "ask": self._ask,
        }

    def _build(self, request: Request) -> Found:
        before = memory()  # the vectors come after: a contender that keeps them holds them
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
            **_growth(before),
        }

    def _save(self, _: Request) -> Found:
        is_saved = self._contender.save(self._folder)
        files = [path.stat() for path in self._folder.rglob("*") if path.is_file()]
        return {"disk bytes": sum(one.st_blocks * 512 for one in files) if is_saved else None}

    def _load(self, request: Request) -> Found:
        self._folder = Path(request["folder"])
        before, began = memory(), time.perf_counter()
        self._contender.load(self._folder)
        took_s = time.perf_counter() - began
        return {"restart s": took_s, "settings": list(self._contender.settings), **_growth(before)}

    def _ask(self, request: Request) -> Found:
        queries: Float32s = np.load(request["queries"])
        k, n = request["k"], len(queries)
        contender = self._contender
        contender.use(request["setting"])
        search, wall, cpu = contender.search, time.perf_counter_ns, time.thread_time_ns
        for query in queries[: request["n_warm"]]:
            search(query, k)
        rows, wall_us, cpu_us = np.full((n, k), -1, np.int64), np.empty(n), np.empty(n)
        began_all = time.process_time_ns()
        for i, query in enumerate(queries):
            began, began_cpu = wall(), cpu()
            found = search(query, k)
            cpu_us[i], wall_us[i] = (cpu() - began_cpu) / 1e3, (wall() - began) / 1e3
            rows[i, : len(found)] = found
        all_us = (time.process_time_ns() - began_all) / 1e3 / n
        np.savez(request["answers"], rows=rows, wall_us=wall_us, cpu_us=cpu_us)
        return {"process CPU us": all_us}


def memory() -> dict[str, int]:
    """Bytes of this process in RAM: all, and those that no file backs. Linux."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = int(rest.split()[0]) * 1024
    return found


def _growth(before: dict[str, int]) -> Found:
    after = memory()
    return {
        "resident bytes": after["VmRSS"] - before["VmRSS"],
        "anonymous bytes": after["RssAnon"] - before["RssAnon"],
    }
