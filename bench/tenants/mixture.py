"""The hard workload: a Gaussian mixture of low rank, and tenants who favour some of its components.

Centres and points spread alike inside a subspace of `intrinsic` dimensions; a little noise fills the rest. Four points
of five of a tenant lie in its favourite components. Queries are points of the mixture that are not stored.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.tenants.access import log_uniform
from bench.tenants.store import save
from bench.tenants.workload import Float32s, Int32s, Int64s

FAVOURED_SHARE = 0.8
SPREAD = 100
FORMAT = "v2"
"""In the key of what is written: changed when it changes."""

_NOISE = 0.1
_BLOCK = 10_000


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a mixture; `degree` is the number of tenants per point, on average."""

    n: int
    dimension: int
    intrinsic: int
    n_centres: int
    n_tenants: int
    degree: int
    n_queries: int


def write(folder: Path, shape: Shape, seed: int) -> None:
    """Write `vectors`, `queries`, `owners`, `offsets`, `grantees` as `.npy`; the last tenant, one more, owns all."""
    rng = np.random.default_rng([seed, 3])
    basis = np.linalg.qr(rng.standard_normal((shape.dimension, shape.intrinsic)))[0].T.astype(np.float32)
    centres = rng.standard_normal((shape.n_centres, shape.intrinsic), dtype=np.float32)
    vectors, component = _drawn(shape.n, centres, basis, rng)
    queries, _ = _drawn(shape.n_queries, centres, basis, rng)
    offsets, grantees = _grants(component, shape, rng)
    owners = np.full(shape.n, shape.n_tenants, np.int32)
    save(folder, {"vectors": vectors, "queries": queries, "owners": owners, "offsets": offsets, "grantees": grantees})


def _drawn(n: int, centres: Float32s, basis: Float32s, rng: np.random.Generator) -> tuple[Float32s, Int64s]:
    vectors = np.empty((n, basis.shape[1]), np.float32)
    component = rng.integers(len(centres), size=n)
    for first in range(0, n, _BLOCK):
        some = component[first : first + _BLOCK]
        inside = centres[some] + rng.standard_normal((len(some), len(basis)), dtype=np.float32)
        noise = rng.standard_normal((len(some), basis.shape[1]), dtype=np.float32)
        vectors[first : first + _BLOCK] = inside @ basis + np.float32(_NOISE) * noise
    return vectors, component


def _grants(component: Int64s, shape: Shape, rng: np.random.Generator) -> tuple[Int64s, Int32s]:
    """Tenants of each point as (offsets, grantees), ascending within a point."""
    sizes = np.minimum(rng.permutation(log_uniform(shape.n_tenants, shape.n * shape.degree, SPREAD)), shape.n)
    chosen = [_points_of(int(size), component, shape.n_centres, rng) for size in sizes]
    rows = np.concatenate(chosen)
    tenants = np.repeat(np.arange(shape.n_tenants, dtype=np.int32), [len(some) for some in chosen])
    offsets = np.zeros(shape.n + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=shape.n), out=offsets[1:])
    return offsets, tenants[np.lexsort((tenants, rows))]


def _points_of(size: int, component: Int64s, n_centres: int, rng: np.random.Generator) -> Int64s:
    """The rows of one tenant: `FAVOURED_SHARE` of them from favourite components, the others from the rest."""
    n_favoured = round(FAVOURED_SHARE * size)
    wanted = min(len(component), 3 * n_favoured // 2)
    order = rng.permutation(n_centres)
    held = np.cumsum(np.bincount(component, minlength=n_centres)[order])
    favourites = order[: int(np.searchsorted(held, wanted)) + 1]
    is_favoured = np.isin(component, favourites)
    inside, outside = np.flatnonzero(is_favoured), np.flatnonzero(~is_favoured)
    near = rng.choice(inside, min(n_favoured, len(inside)), replace=False)
    far = rng.choice(outside, min(size - len(near), len(outside)), replace=False)
    return np.concatenate([near, far])
