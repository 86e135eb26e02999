"""The workloads by name, made from a seed; what is generated is kept in the store.

`shared-*`, `ood-*`, `ip-*`: one publisher owns all points. Each label is given to a few random tenants, and a point to
those who have one of its labels. `exclusive-*`: every point has one owner, drawn at random; sizes are log-uniform.
`hard`: a Gaussian mixture whose tenants favour some components. `single-*`: one tenant owns all.
Quick ones have the same names and shapes and a hundredth of the size, and need no data set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.tenants import growth, mixture
from bench.tenants.access import exclusive, from_labels, single
from bench.tenants.contender import LeftOut
from bench.tenants.growth import HELD_OUT, Growth, Source
from bench.tenants.store import Store, save
from bench.tenants.truth import exact
from bench.tenants.workload import CLASS_NAMES, Access, Float32s, Int32s, Truth, Workload, class_of

_FORMAT = "v2"
"""In the key of every workload: changed when who sees or asks what changes. Vectors have their own."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large workloads are; `points` by the suffix of their names, `exclusive` the number of tenants by it."""

    points: dict[str, int]
    exclusive: dict[str, int]
    n_tenants: int
    degree: int
    n_queries: int
    n_exclusive_queries: int
    hard: mixture.Shape


FULL = Sizes(
    points={"19k": 19_000, "120k": 120_000, "500k": 500_000, "1m": 1_000_000, "4m": 4_000_000},
    exclusive={"100": 100, "1000": 1_000, "10000": 10_000},
    n_tenants=100,
    degree=10,
    n_queries=1_000,
    n_exclusive_queries=2_000,
    hard=mixture.Shape(300_000, 192, 128, 1_000, 300, 10, 1_000),
)
QUICK = Sizes(
    points={"19k": 1_000, "120k": 2_000, "500k": 3_000, "1m": 4_000, "4m": 6_000},
    exclusive={"100": 4, "1000": 40, "10000": 200},
    n_tenants=20,
    degree=4,
    n_queries=50,
    n_exclusive_queries=60,
    hard=mixture.Shape(2_000, 24, 16, 20, 12, 4, 50),
)
_QUICK_DIMENSION = 32

_LAST_CLASS = 4
"""Tenants of this size class and beyond ask as often as those of one below: seven would leave few queries for each."""

NAMES = (
    *("shared-19k", "shared-120k", "shared-1m"),
    *("exclusive-100", "exclusive-1000", "exclusive-10000"),
    *("hard", "ood-squad", "ood-clinc", "ip-0.3", "ip-0.6", "single-19k", "single-120k"),
)

_OOD_FILES = {"squad": ("squad2", "question_vectors_f16.npy"), "clinc": ("clinc150", "vectors_f16.npy")}


@dataclass(frozen=True, eq=False)
class _Parts:
    """A workload before its truth is known."""

    metric: str
    access: Access
    queries: Float32s
    askers: Int32s
    recorded: Float32s | None = None


class Worlds:
    """Makes workloads. Raises LeftOut for one whose data set is not there."""

    def __init__(self, store: Store, seed: int, *, is_quick: bool = False) -> None:
        self._store = store
        self._seed = seed
        self._is_quick = is_quick
        self._sizes = QUICK if is_quick else FULL
        self._source: Source | None = None

    def make(self, name: str) -> Workload:
        """The workload of that name, one of `NAMES`."""
        kind, _, suffix = name.partition("-")
        makers: dict[str, Callable[[str], tuple[Float32s, str, Callable[[], _Parts]]]] = {
            "shared": self._shared,
            "exclusive": self._exclusive,
            "hard": self._hard,
            "ood": self._ood,
            "ip": self._ip,
            "single": self._single,
        }
        vectors, vectors_key, parts = makers[kind](suffix)
        key = f"{name}-{_FORMAT}-{vectors_key}"

        def write(folder: Path) -> None:
            made = parts()
            truth = exact(made.metric, vectors, made.access, made.queries, made.askers)
            recorded = made.recorded if made.recorded is not None else made.queries[:0]
            save(folder, {"queries": made.queries, "askers": made.askers, "recorded": recorded})
            save(folder, {"truth": truth.ids, "truth_distances": truth.distances})
            save(folder, {"owners": made.access.owners, "offsets": made.access.offsets})
            save(folder, {"grantees": made.access.grantees})
            save(folder, {"n_tenants": np.array(made.access.n_tenants), "metric": np.array(made.metric)})

        kept = self._store.arrays(key, write)
        access = Access(int(kept["n_tenants"]), kept["owners"], kept["offsets"], kept["grantees"])
        truth = Truth(kept["truth"], kept["truth_distances"])
        return Workload(
            name,
            str(kept["metric"]),
            vectors,
            access,
            kept["queries"],
            kept["askers"],
            truth,
            key,
            vectors_key,
            kept.get("recorded", kept["queries"][:0]),
            self._about(access, kept["askers"]),
        )

    def _shared(self, size: str) -> tuple[Float32s, str, Callable[[], _Parts]]:
        return self._asked_by(size, self._base().queries[: self._sizes.n_queries], None)

    def _asked_by(
        self, size: str, queries: Float32s, recorded: Float32s | None
    ) -> tuple[Float32s, str, Callable[[], _Parts]]:
        """Points shared by labels; random tenants ask `queries`."""
        vectors, parents, key = self._grown(size)

        def parts() -> _Parts:
            rng = np.random.default_rng([self._seed, 10])
            access = from_labels(self._base(), parents, self._sizes.n_tenants, self._sizes.degree, rng)
            return _Parts("cosine", access, queries, _random_askers(access, len(queries), rng), recorded)

        return vectors, key, parts

    def _exclusive(self, suffix: str) -> tuple[Float32s, str, Callable[[], _Parts]]:
        vectors, _, key = self._grown("1m")

        def parts() -> _Parts:
            n_queries = self._sizes.n_exclusive_queries
            rng = np.random.default_rng([self._seed, 11])
            access = exclusive(len(vectors), self._sizes.exclusive[suffix], rng)
            held_out = [block for block, _ in Growth(self._base(), self._seed).blocks(HELD_OUT, n_queries)]
            return _Parts("cosine", access, np.concatenate(held_out), _askers_by_class(access, n_queries, rng))

        return vectors, key, parts

    def _hard(self, _: str) -> tuple[Float32s, str, Callable[[], _Parts]]:
        shape = self._sizes.hard
        key = f"mixture-{shape.n}x{shape.dimension}-s{self._seed}-{mixture.FORMAT}"
        made = self._store.arrays(key, lambda folder: mixture.write(folder, shape, self._seed))

        def parts() -> _Parts:
            access = Access(shape.n_tenants + 1, made["owners"], made["offsets"], made["grantees"])
            rng = np.random.default_rng([self._seed, 12])
            return _Parts("l2", access, made["queries"], _random_askers(access, len(made["queries"]), rng))

        return made["vectors"], key, parts

    def _ood(self, which: str) -> tuple[Float32s, str, Callable[[], _Parts]]:
        found, n = self._questions(which), self._sizes.n_queries
        chosen = np.random.default_rng([self._seed, 13]).permutation(len(found))
        return self._asked_by("120k", found[chosen[:n]], found[chosen[n : 2 * n]])

    def _ip(self, sigma: str) -> tuple[Float32s, str, Callable[[], _Parts]]:
        vectors, key, parts = self._shared("120k")

        def scale(folder: Path) -> None:
            norms = np.random.default_rng([self._seed, 14]).lognormal(0, float(sigma), (len(vectors), 1))
            save(folder, {"vectors": vectors * norms.astype(np.float32)})

        def of_ip() -> _Parts:
            made = parts()
            return _Parts("ip", made.access, made.queries, made.askers)

        key = f"scaled-{sigma}-{key}"
        return self._store.arrays(key, scale)["vectors"], key, of_ip

    def _single(self, size: str) -> tuple[Float32s, str, Callable[[], _Parts]]:
        vectors, _, key = self._grown(size)
        queries = self._base().queries[: self._sizes.n_queries]
        askers = np.zeros(len(queries), np.int32)
        return vectors, key, lambda: _Parts("cosine", single(len(vectors)), queries, askers)

    def _grown(self, size: str) -> tuple[Float32s, Int32s, str]:
        """Vectors, the row of the source that each comes from, and the key of both."""
        source, n = self._base(), self._sizes.points[size]
        key = f"grown-{source.key}-{n}-s{self._seed}-{growth.FORMAT}"

        def write(folder: Path) -> None:
            save(folder, {"parents": Growth(source, self._seed).write(folder / "vectors.npy", n)})

        kept = self._store.arrays(key, write)
        return kept["vectors"], kept["parents"], key

    def _base(self) -> Source:
        if self._source is None:
            if self._is_quick:
                n = self._sizes.points["19k"]
                self._source = growth.generated(n, _QUICK_DIMENSION, self._sizes.n_queries, self._seed)
            else:
                self._source = growth.arxiv(_present(growth.datasets() / "arxiv"))
        return self._source

    def _questions(self, which: str) -> Float32s:
        if self._is_quick:
            return growth.generated(100, _QUICK_DIMENSION, 2 * self._sizes.n_queries, self._seed + len(which)).queries
        folder, file = _OOD_FILES[which]
        return growth.questions(_present(growth.datasets() / folder), file)

    def _about(self, access: Access, askers: Int32s) -> dict[str, object]:
        """What a reader needs to know of a workload: numbers, sizes of the tenants that could ask."""
        sizes = access.sizes[: access.n_tenants - 1] if access.n_grants else access.sizes
        by_class = np.bincount(class_of(access.sizes[askers]), minlength=len(CLASS_NAMES))
        return {
            "points": access.n_points,
            "tenants": len(sizes),
            "grants per point": round(access.n_grants / access.n_points, 2),
            "tenant sizes, min median max": [int(sizes.min()), int(np.median(sizes)), int(sizes.max())],
            "queries by tenant size": dict(zip(CLASS_NAMES, by_class.tolist(), strict=True)),
            "quick": self._is_quick,
        }


def _present(folder: Path) -> Path:
    if not folder.is_dir():
        raise LeftOut(f"no data set at {folder}; VDB_DATASETS names the folder of all")
    return folder


def _readers(access: Access) -> Int32s:
    """Tenants that may ask: who sees anything; with grants, not the publisher, who is the last."""
    n = access.n_tenants - 1 if access.n_grants else access.n_tenants
    return np.flatnonzero(access.sizes[:n]).astype(np.int32)


def _random_askers(access: Access, n_queries: int, rng: np.random.Generator) -> Int32s:
    return rng.choice(_readers(access), n_queries)


def _askers_by_class(access: Access, n_queries: int, rng: np.random.Generator) -> Int32s:
    """Tenants so that each size class that exists asks equally often; at random inside it."""
    readers = _readers(access)
    classes = np.minimum(class_of(access.sizes[readers]), _LAST_CLASS)
    kinds = np.unique(classes)
    drawn = [rng.choice(readers[classes == kind], -(-n_queries // len(kinds))) for kind in kinds]
    return np.asarray(rng.permutation(np.stack(drawn, axis=1).ravel()[:n_queries]), np.int32)
