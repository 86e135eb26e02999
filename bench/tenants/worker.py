"""One contender in a process of its own, which may be a peer's interpreter with NumPy and the peer only.

`python -m bench.tenants.worker NAME` in the repository's root. Requests come as lines of JSON on standard input,
answers go to standard output, by `do`:
- `build`: `workload` (a folder, `handed.read`) → settings, growth of memory, share built, seconds, CPU, facts
- `ask`: `setting`, `n_warm`, `answers` (.npz to write: rows, cpu_us) → nothing
- `end`
An answer is {"left out": …} where the contender takes no part, {"error": …} where something failed.
"""

import argparse
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.tenants import handed
from bench.tenants.contender import Contender, LeftOut
from bench.tenants.limits import Limits
from bench.tenants.sides import Local
from bench.tenants.store import Store

__all__ = ["CONTENDERS", "main"]

_Found = dict[str, Any]
_DIES_WITH_PARENT = 1
"""Linux: PR_SET_PDEATHSIG."""


def main(arguments: Sequence[str]) -> None:
    """Answer requests until `end` or the end of the input. What libraries print goes to standard error."""
    given = _parser().parse_args(arguments)
    if sys.platform == "linux":  # a long build does not look at its input
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    side = Local(CONTENDERS[given.name](given))
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            break
        answers.write(json.dumps(_answer(side, request)) + "\n")
    answers.flush()


def _answer(side: Local, request: _Found) -> _Found:
    try:
        return _built(side, request) if request["do"] == "build" else _asked(side, request)
    except LeftOut as exc:
        return {"left out": str(exc)}
    except Exception as exc:  # whatever a library may raise: the contest goes on without it
        traceback.print_exc()
        return {"error": f"{type(exc).__name__}: {exc}"[:500]}


def _built(side: Local, request: _Found) -> _Found:
    built = side.build(handed.read(Path(request["workload"])))
    return {
        "settings": built.settings,
        "memory": [built.memory.resident, built.memory.anonymous],
        "built share": built.built_share,
        "build s": built.build_s,
        "build CPU s": built.build_cpu_s,
        "facts": built.facts,
    }


def _asked(side: Local, request: _Found) -> _Found:
    rows, cpu_us = side.ask(request["setting"], request["n_warm"])
    np.savez(request["answers"], rows=rows, cpu_us=cpu_us)
    return {}


def _ours(given: argparse.Namespace) -> Contender:
    from bench.tenants.ours import Ours

    return Ours()


def _hnswlib(given: argparse.Namespace) -> Contender:
    from bench.tenants.per_tenant import PerTenantHnsw

    return PerTenantHnsw(Store(given.cache), _limits(given), given.ef_construction)


def _faiss_hnsw(given: argparse.Namespace) -> Contender:
    from bench.tenants.shared_index import FaissHnsw

    return FaissHnsw(Store(given.cache), _limits(given))


def _faiss_ivf(given: argparse.Namespace) -> Contender:
    from bench.tenants.shared_index import FaissIvf

    return FaissIvf(Store(given.cache), _limits(given))


def _floats(given: argparse.Namespace) -> Contender:
    from bench.tenants.contiguous import ExactFloats

    return ExactFloats(_limits(given))


def _codes(given: argparse.Namespace) -> Contender:
    from bench.tenants.contiguous import ExactCodes

    return ExactCodes(_limits(given))


CONTENDERS: dict[str, Callable[[argparse.Namespace], Contender]] = {
    "ours": _ours,
    "hnswlib per tenant": _hnswlib,
    "faiss HNSW, bitmap": _faiss_hnsw,
    "faiss IVF, bitmap": _faiss_ivf,
    "exact scan, float32": _floats,
    "exact scan, codes": _codes,
}
"""By the names of the report. What one imports is imported for it alone: a peer's interpreter has nothing of ours."""


def _limits(given: argparse.Namespace) -> Limits:
    return Limits(given.build_bytes, given.build_s, given.threads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.tenants.worker")
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--cache", type=Path, required=True, help="folder of what is built")
    parser.add_argument("--build-bytes", type=float, required=True, help="memory of a build")
    parser.add_argument("--build-s", type=float, required=True, help="time of a build")
    parser.add_argument("--threads", type=int, required=True, help="of a peer's build")
    parser.add_argument("--ef-construction", type=int, required=True, help="of hnswlib")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
