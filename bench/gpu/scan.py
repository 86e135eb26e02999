"""The coded scan: 1,024 tenants' rows of 128 components, a query each, 40 candidates of each; every form.

A batch reads about 10.5 GB, no row twice: codes and a head of 16 bytes, and 4 more of a place where rows are named by a
list. At 4.3 TB/s they are 2.5 ms. *Runs* lie one after the other; *scattered* are lists that name the rows of all
tenants in random order; *entries* are runs cut into 576 or more parts, of which those are read whose centroids are
nearest, an eighth of the rows, as searches do. Times are those of whole calls: the queries' way to the device and the
candidates' way back are in them, and stand beside them as the call of one row for each query. Several times the bar's
5 GB are read so that those do not count. About 60 s, most of them for filling the device.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.gpu.clock import runs_of
from bench.gpu.generated import normal, random_bytes
from bench.gpu.judged import largest_gap
from bench.gpu.machine import Machine
from bench.gpu.readings import (
    ALIVE,
    FORMS,
    Coded,
    code_bytes,
    coded,
    lists,
    model_of,
    queries_of,
    resident,
    runs,
    runs_with_entries,
)
from bench.gpu.work import Unit, Work, seconds
from bench.report import Figure
from vdb.kernels.device import PAGE_ROWS, Candidates, Queries, ResidentModel, ResidentRows, Wanted
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import COSINE, Int64s, UInt32s
from vdb.kernels.reference_cells import LVQ4, LVQ8

__all__ = ["measure", "scattered", "work"]

_D, _M = 128, 40
_HEAD_BYTES, _PLACE_BYTES, _ENTRY_BYTES = 16, 4, 8
_TENANT_PAGES = {"int8": 18, "int4": 32, "float16": 9, "float32": 5}
_ENTRY_ROWS, _N_NODES, _SHARE = 128, 4_096, 8
_N_CALLS, _N_CHECKED, _N_ROTATED = 3, 4, 4
_SLACK = 1e-4
"""Of estimates below 1 in magnitude, multiplied and added in float32 in another order."""
_BARS = {"runs": 0.6, "scattered": 0.3}


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """One form on a device: `tile` is what every tenant's rows hold; `order` names all rows at random."""

    form: str
    tile: Coded
    order: UInt32s
    rows: ResidentRows
    model: ResidentModel
    queries: list[Queries]

    @property
    def n_each(self) -> int:
        return len(self.tile[0])

    @property
    def n_tenants(self) -> int:
        return len(self.queries[0])


def work(form: str, kind: str, n_rows: int, n_entries: int = 0, dimension: int = _D) -> Work:
    """Of a batch that scores so many rows and entries, whoever asks for them; nodes stay in a cache, and count once."""
    width = code_bytes(FORMS[form], dimension)
    n_bytes = n_rows * (width + _HEAD_BYTES + (_PLACE_BYTES if kind == "scattered" else 0))
    if n_entries:
        n_bytes += n_entries * _ENTRY_BYTES + _N_NODES * (code_bytes(LVQ8, dimension) + _HEAD_BYTES)
    unit = Unit.BYTES if FORMS[form] in (LVQ8, LVQ4) else Unit.FLOAT
    return Work(f"scan, {form}, {kind}: {n_rows:,} rows", float(n_bytes), 2.0 * dimension * (n_rows + n_entries), unit)


def measure(machine: Machine) -> Iterator[Figure]:
    """Shares of the copy bandwidth, form by form."""
    for form in FORMS:
        yield from _of_form(machine, form)


def _of_form(machine: Machine, form: str) -> Iterator[Figure]:
    world = _made(machine, form)
    n, starts = world.n_each, np.arange(world.n_tenants, dtype=np.int64) * world.n_each
    n_entries = n // _entry_rows(machine)
    kinds = {
        "runs": runs(starts, n),
        "scattered": lists(starts, n),
        "entries": runs_with_entries(starts, n, np.arange(world.n_tenants) * n_entries, n_entries, n // _SHARE),
        "one row": runs(starts, 1),
    }
    for kind, wanted in kinds.items():
        yield from _of_kind(machine, world, kind, wanted)


def _of_kind(machine: Machine, world: _World, kind: str, wanted: Wanted) -> list[Figure]:
    name = f"scan, {world.form}, {kind}"
    found = machine.device.candidates(world.rows, world.model, world.queries[0], wanted, _M)
    n_entries, _, n_rows = (int(total) for total in found.statistics[:, :3].sum(axis=0))
    least = work(world.form, kind, n_rows, n_entries)
    print(least.counted(machine.ceilings), flush=True)
    measured = runs_of(
        lambda i: machine.device.candidates(world.rows, world.model, world.queries[i % len(world.queries)], wanted, _M),
        machine.repeats,
        machine.sized(_N_CALLS, 1),
    )
    if kind == "one row":
        return [seconds(f"{name}: a batch", measured)]
    share = least.memory_share(machine.ceilings, statistics.median(measured))
    figures = [
        seconds(f"{name}: a batch", measured),
        machine.figure(f"{name}: of the copy bandwidth", share, "share", _BARS.get(kind)),
    ]
    if kind == "entries":
        return figures
    return [*figures, Figure(f"{name}: largest gap to the twin", _gap(world, kind, found), "", _SLACK)]


def _gap(world: _World, kind: str, found: Candidates) -> float:
    """Between the estimates of some queries and the twin's, +inf where the rows found have others by the twin."""
    worst = 0.0
    for i in np.linspace(0, world.n_tenants - 1, min(_N_CHECKED, world.n_tenants)).astype(int).tolist():
        first, n = i * world.n_each, world.n_each
        named = (
            np.sort(world.order[first : first + n]).astype(np.int64) if kind == "scattered" else first + np.arange(n)
        )
        expected = _by_twin(world, i, named)
        same = np.isin(found.row[i], named).all() and len(np.unique(found.row[i])) == _M
        worst = max(worst, largest_gap(found.score[i], expected.score[0]) if same else np.inf)
    return worst


def _by_twin(world: _World, i: int, named: Int64s) -> Candidates:
    """What plain arrays find for query i among the rows `named`, gathered."""
    twin = NumpyDevice()
    codes, heads = world.tile
    at = named % world.n_each
    queries = queries_of(world.queries[0].full[i : i + 1])
    model = model_of(twin, FORMS[world.form], _D, COSINE, np.ones((1, _D), np.float32))
    return twin.candidates(
        resident(twin, (codes[at], heads[at])), model, queries, runs(np.zeros(1, np.int64), len(named)), _M
    )


def _made(machine: Machine, form: str) -> _World:
    n_each = machine.sized(_TENANT_PAGES[form] * PAGE_ROWS, 256)
    n_tenants = machine.sized(1_024, 4)
    rng = np.random.default_rng(machine.seed)
    order = scattered(rng, n_tenants, n_each)
    tile = _tile(form, n_each, machine.seed)
    starts = np.arange(0, n_each, _entry_rows(machine), dtype=np.uint32)
    bounds = (np.arange(n_tenants, dtype=np.uint32)[:, None] * np.uint32(n_each) + starts).ravel()
    entries = np.stack([rng.integers(0, _N_NODES, len(bounds), np.uint32), bounds])
    return _World(
        form,
        tile,
        order,
        resident(machine.device, tile, n_tenants, places=order, entries=entries),
        model_of(machine.device, FORMS[form], _D, COSINE, normal(_N_NODES, _D, machine.seed + 2)),
        [queries_of(normal(n_tenants, _D, machine.seed + 3 + i)) for i in range(_N_ROTATED)],
    )


def scattered(rng: np.random.Generator, n_tenants: int, n_each: int) -> UInt32s:
    """All rows once, uint32 (n,), a list of n_each after the other: neighbours are random rows of random tenants.

    Place j of list q names row π(j) of tenant q + s(j): no two lists and places the same. Shuffled at once, a hundred
    million rows would take a minute.
    """
    shifts = rng.integers(0, n_tenants, n_each, np.uint32)
    rows = rng.permutation(n_each).astype(np.uint32)
    order = np.empty((n_tenants, n_each), np.uint32)
    for i in range(n_tenants):
        order[i] = (shifts + np.uint32(i)) % np.uint32(n_tenants) * np.uint32(n_each) + rows
    return order.ravel()


def _entry_rows(machine: Machine) -> int:
    return machine.sized(_ENTRY_ROWS, 32)


def _tile(form: str, n: int, seed: int) -> Coded:
    """Rows of length about 1, one in a hundred of them dead. Codes are drawn as they are: nothing need be coded."""
    number = FORMS[form]
    if number in (LVQ8, LVQ4):
        n_steps = 255 if number == LVQ8 else 15
        codes = random_bytes(n, code_bytes(number, _D), seed)
        heads = np.zeros((n, 4), np.uint32)
        step = np.random.default_rng(seed).uniform(0.9, 1.1, n) * np.sqrt(12 / _D) / n_steps
        heads[:, 0] = step.astype(np.float32).view(np.uint32)
        heads[:, 1] = (-step * n_steps / 2).astype(np.float32).view(np.uint32)
        heads[:, 3] = ALIVE
    else:
        codes, heads = coded(normal(n, _D, seed), number, COSINE)
    heads[::100, 3] = 1
    return codes, heads
