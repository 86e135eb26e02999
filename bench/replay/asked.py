"""What a trace's requests are here: whose, searches or writes, how large.

A search is for as many hits as chunks of 256 tokens fill the context that the trace's request had, 1 to 100: a model
that was given so many tokens was given so many retrieved chunks. A write stores a turn of a conversation: as many
points as there are chunks of 256 tokens in what was generated, 1 to 100.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import samples
from bench.connection import binary_search
from bench.datasets.clouds import zipf
from bench.replay.trace import Trace
from bench.tenants.workload import Float32s, Int64s

__all__ = ["CHUNK_TOKENS", "MOST_CHUNKS", "Drawn", "chunks", "drawn", "parts_of", "requests"]


CHUNK_TOKENS, MOST_CHUNKS = 256, 100


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Of each request: the rank of its tenant int64 (n,), whether it writes bool (n,), hits or points int64 (n,)."""

    tenants: Int64s
    is_write: NDArray[np.bool_]
    sizes: Int64s


def drawn(trace: Trace, n_tenants: int, exponent: float, writes: float, seed: int) -> Drawn:
    """Tenants by Zipf's law, independently of the trace, which names none; `writes` is the share of writes."""
    rng = np.random.default_rng([seed, 41])
    tenants = rng.choice(n_tenants, len(trace), p=zipf(n_tenants, exponent))
    is_write = rng.random(len(trace)) < writes
    return Drawn(tenants, is_write, np.where(is_write, chunks(trace.generated), chunks(trace.context)))


def chunks(tokens: Int64s) -> Int64s:
    """How many chunks so many tokens are, int64 (n,): 1 to 100."""
    return np.clip(-(-tokens // CHUNK_TOKENS), 1, MOST_CHUNKS)


def parts_of(vectors: Float32s, n_tenants: int, exponent: float, seed: int) -> list[Float32s]:
    """Vectors dealt to tenants by the law by which they ask, at least one to each; the largest first."""
    order = np.random.default_rng([seed, 42]).permutation(len(vectors))
    spare = len(vectors) - n_tenants
    ends = np.rint(np.cumsum(zipf(n_tenants, exponent)) * spare).astype(np.int64)
    sizes = 1 + np.sort(np.diff(ends, prepend=0))[::-1]
    return [vectors[np.sort(rows)] for rows in np.split(order, np.cumsum(sizes)[:-1])]


def requests(
    given: Drawn, collection: str, keys: Sequence[str], queries: Float32s, fresh: Float32s, seed: int
) -> list[bytes]:
    """The bytes of each: searches ask `queries` (q, d) at random, writes store rows of `fresh` (f, d) under new ids."""
    rng = np.random.default_rng([seed, 43])
    asked = rng.integers(len(queries), size=len(given.tenants)).tolist()
    made, n_stored = [], len(fresh)
    for i, (tenant, is_write, size) in enumerate(
        zip(given.tenants.tolist(), given.is_write.tolist(), given.sizes.tolist(), strict=True)
    ):
        if is_write:
            rows = rng.integers(len(fresh), size=size)
            made.append(samples.binary_upsert(collection, keys[tenant], n_stored, fresh[rows]))
            n_stored += size
        else:
            made.append(binary_search(collection, keys[tenant], queries[asked[i]], size))
    return made
