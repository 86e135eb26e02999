"""Servers side by side, asked in turns: the row of a race over the network.

Each server is loaded by its client, comes to rest, is started anew, and then stays up; while one is asked the others
are idle, and how idle is measured. A first pass of each (server, setting) gives the answers that are judged; each
repetition then runs every (server, setting) once, settings in an order drawn for it. Afterwards 4 and 8 clients ask at
once, with the first setting that reaches the recall of the bar. Cost is CPU of the server's whole tree of processes,
from /proc; the client's stands beside it. A server that fails on the way is left out with the reason.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets import queries_path, vectors_path
from bench.race.servers.contenders import Setup, Taking
from bench.race.servers.taking_part import Files, TakingPart
from bench.race.servers.writing import contender
from bench.tenants.contender import LeftOut
from bench.tenants.protocol import order_of
from bench.tenants.store import Store
from bench.tenants.truth import judge
from bench.tenants.workload import K, Workload

__all__ = ["CLIENTS", "TARGET", "Plan", "measure"]

CLIENTS = (4, 8)
TARGET = 0.95
"""The recall of the bar, and the least with which several clients ask."""
_N_WARM = 100
_IDLE_S = 3.0

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Timed passes of each setting, clients at once beside one, seconds of watching idle servers."""

    repetitions: int = 3
    clients: tuple[int, ...] = CLIENTS
    idle_s: float = _IDLE_S


def measure(
    entries: Mapping[str, Callable[[Setup], Taking]], workload: Workload, store: Store, setup: Setup, plan: Plan
) -> _Row:
    """The row of a race on one data set: servers with their sweeps, and who is left out."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdb-bench-")))
        place.chmod(0o711)  # a server that runs as another user goes through it
        race = _Race(workload, _files(place, workload, store), plan)
        for name, made in entries.items():
            folder = place / name.replace(" ", "-")
            one = TakingPart(name, folder, stack.enter_context(ExitStack()))
            race.do(one, partial(race.enter, one, made, setup))
        for one in race.taking():
            race.do(one, partial(one.idle, plan.idle_s))
        for turn in range(1 + plan.repetitions):
            for one in race.taking():
                race.do(one, partial(race.turn, one, is_first=turn == 0))
            print(f"turn {turn} of {plan.repetitions} is done", file=sys.stderr, flush=True)
        for _ in range(plan.repetitions):
            for one in race.taking():
                race.crowds(one)
        return {
            "data set": {"name": workload.name, "metric": workload.metric, "dimension": workload.dimension}
            | workload.about
            | {"raw bytes": workload.raw_bytes},
            "k": K,
            "repetitions": plan.repetitions,
            "clients": [1, *plan.clients],
            "contenders": {one.name: contender(one) for one in race.taking()},
            "left out": race.left_out,
        }


class _Race:
    """The steps, and who has dropped out of them."""

    def __init__(self, workload: Workload, files: Files, plan: Plan) -> None:
        self._workload, self._files, self._plan = workload, files, plan
        self._taking: dict[str, TakingPart] = {}
        self.left_out: dict[str, str] = {}

    def taking(self) -> list[TakingPart]:
        """Those still in the race."""
        return list(self._taking.values())

    def do(self, one: TakingPart, step: Callable[[], None]) -> None:
        """A step of one of them; where it fails, its server is stopped and the others go on."""
        try:
            step()
        except LeftOut as exc:
            reason = self.left_out[one.name] = one.reason(exc)
            self._taking.pop(one.name, None)
            one.close()
            print(f"{one.name} is left out: {reason}", file=sys.stderr, flush=True)

    def enter(self, one: TakingPart, made: Callable[[Setup], Taking], setup: Setup) -> None:
        """Start a server, load it, start it anew."""
        taking = made(setup)
        one.enter(taking.program, taking.versions)
        one.load(self._files, self._workload.metric, setup.n_threads)
        one.restart(self._files, self._workload)
        self._taking[one.name] = one

    def turn(self, one: TakingPart, *, is_first: bool) -> None:
        """One pass of every setting; the first is judged, the others are timed."""
        if is_first:
            asked = (one.one_client(self._files, setting, self._files.warm) for setting in one.settings)
            one.judged = [judge(self._workload, each.answers.rows) for each in asked]
            one.passes = [[] for _ in one.settings]
            one.note_memory()
            return
        for place, i in enumerate(order_of(one.settings, len(one.passes[0]))):
            warm = self._files.warm if place else self._files.queries  # others filled the caches meanwhile
            one.passes[i].append(one.one_client(self._files, one.settings[i], warm))

    def crowds(self, one: TakingPart) -> None:
        """A pass of each number of clients, with the first setting that finds enough, or the one that finds most.

        One that fails keeps what it has shown alone, and is not asked any more.
        """
        if one.crowds_failed:
            return
        recalls = [float(judged.recalls.mean()) for judged in one.judged]
        reaching = [i for i, recall in enumerate(recalls) if recall >= TARGET]
        one.crowd_setting = one.settings[reaching[0] if reaching else int(np.argmax(recalls))]
        for n_clients in self._plan.clients:
            try:
                crowd = one.crowd(self._files, self._workload.metric, n_clients)
            except LeftOut as exc:
                one.crowds_failed = f"with {n_clients} clients: {one.reason(exc)}"
                one.close()
                print(f"{one.name} fails {one.crowds_failed}", file=sys.stderr, flush=True)
                return
            one.crowds.setdefault(n_clients, []).append(crowd)


def _files(place: Path, workload: Workload, store: Store) -> Files:
    warm, one = place / "warm.npy", place / "one.npy"
    np.save(warm, workload.queries[:_N_WARM])
    np.save(one, workload.queries[:1])
    return Files(vectors_path(store, workload), queries_path(store, workload), warm, one)
