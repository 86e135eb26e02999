"""Sets made from the seed, of any size: `made-KIND-N` with N such as 500, 20k or 1m, and `made-KIND-NxDIM`."""

import re
from pathlib import Path

import numpy as np

from bench.datasets.clouds import BLOCK, Cloud, Clustered, Duplicates, Hard, OutOfDistribution, Plain
from bench.datasets.parts import QUICK, Parts
from bench.datasets.tenancies import N_TENANTS, Skewed, access_of
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, save
from bench.tenants.workload import Access, Float32s

__all__ = ["KINDS", "known", "parts"]

KINDS: dict[str, type[Cloud]] = {
    "plain": Plain,
    "clustered": Clustered,
    "hard": Hard,
    "ood": OutOfDistribution,
    "skewed": Skewed,
    "duplicates": Duplicates,
}
_FORMAT = "v1"
"""In the key of what is made: changed when it changes."""

_N_QUERIES = 1_000
_DIMENSION, _HARD_DIMENSION, _MOST = 384, 192, 8_192
_NAME = re.compile(r"made-([a-z]+)-(\d{1,9})([km]?)(?:x(\d{1,5}))?")
_THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}


def parts(name: str, store: Store, seed: int, is_quick: bool) -> Parts | None:
    """`made-plain-120k`, also clustered, hard, ood, skewed, duplicates; `made-plain-1mx128`: 128 dimensions."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] not in KINDS:
        if name.startswith("made-"):
            raise LeftOut(
                f"no set {name!r} can be made: made-KIND-N or made-KIND-NxDIM, KIND one of {', '.join(KINDS)}"
            )
        return None
    kind = found[1]
    n = int(found[2]) * _THOUSANDS[found[3]]
    dimension = int(found[4] or (_HARD_DIMENSION if kind == "hard" else _DIMENSION))
    if is_quick:
        n, dimension = min(n, QUICK[0]), min(dimension, QUICK[1])
    if n < 1 or not 2 <= dimension <= _MOST:
        raise LeftOut(f"{name!r}: at least 1 point, 2 to {_MOST:,} dimensions")
    return _made(kind, KINDS[kind](dimension, seed), n, QUICK[2] if is_quick else _N_QUERIES, store, seed)


def known(_: Store) -> dict[str, str]:
    """The kinds, with what is said of each."""
    return {f"made-{name}-N": (kind.__doc__ or "").partition("\n")[0] for name, kind in KINDS.items()}


def _made(kind: str, cloud: Cloud, n: int, n_queries: int, store: Store, seed: int) -> Parts:
    def write(folder: Path) -> None:
        _write(folder / "vectors.npy", cloud, n)
        if isinstance(cloud, Skewed):
            access = access_of(cloud, n)
            save(folder, {"owners": access.owners, "offsets": access.offsets, "grantees": access.grantees})

    key = f"made-{kind}-{n}x{cloud.dimension}-s{seed}-{_FORMAT}"
    kept = store.arrays(key, write)
    about: dict[str, object] = {"source": f"made from the seed: {kind}", "seed": seed}
    vectors, own = kept["vectors"], f"{key}-q{n_queries}"
    if isinstance(cloud, Skewed):
        access = Access(N_TENANTS, kept["owners"], kept["offsets"], kept["grantees"])
        askers = cloud.asking(access.sizes, n_queries)
        queries = cloud.of_tenants(askers, cloud.rng(4))
        about |= {"tenants": N_TENANTS, "grants per point": round(access.n_grants / n, 3)}
        return Parts(cloud.metric, vectors, key, queries, own, access, askers, about=about)
    recorded = None
    queries = cloud.queries(n_queries)
    if isinstance(cloud, OutOfDistribution):
        queries = cloud.queries(2 * n_queries)
        queries, recorded = queries[:n_queries], queries[n_queries:]
    return Parts(cloud.metric, vectors, key, queries, own, recorded=recorded, about=about)


def _write(path: Path, cloud: Cloud, n: int) -> None:
    """`n` points, a block at a time."""
    out: Float32s = np.lib.format.open_memmap(path, "w+", np.float32, (n, cloud.dimension))
    for number in range(-(-n // BLOCK)):
        size = min(BLOCK, n - number * BLOCK)
        out[number * BLOCK : number * BLOCK + size] = cloud.points(number)[:size]
