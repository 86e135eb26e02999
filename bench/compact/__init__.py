"""Compaction: the files after nine points of ten are deleted, and what of the deleted text is still in them.

Points of 128 dimensions with 49 bytes of payload go in over HTTP and every tenth stays. Live data is what the entries
that are left hold, keys and values. Further dimensions show what LMDB's pages of 4,096 bytes cost: a vector that is
larger than about half a page takes whole ones.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import report, samples
from bench.crash.access import HttpAccess
from bench.server import Server
from vdb.storage.check import check_directory
from vdb.storage.compact import compact
from vdb.storage.env import Environment
from vdb.storage.probe import MAP_BYTES

BAR = 1.3
KEPT_OF = 10
BATCH = 1_000
COLLECTION = "docs"
_MARK = b'document %09d"'
"""What a payload of `bench.samples` ends with, and no other bytes of ours."""


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("compact", __doc__)
    parser.add_argument("--n", type=int, default=200_000, help="points of the first leg (default: 200,000)")
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 384, 768], help="one leg each; the first has bars")
    given = parser.parse_args(arguments)
    figures: list[report.Figure] = []
    for dimension in given.dims:
        n = given.n * given.dims[0] // dimension // BATCH * BATCH
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
            figures += run(Path(folder), n, dimension, has_bars=dimension == given.dims[0])
    return report.publish("compact", arguments, given.results, figures)


def run(folder: Path, n: int, dimension: int, has_bars: bool) -> list[report.Figure]:
    """The figures of one leg: `n` points, a multiple of 1,000."""
    with Server(folder, log_requests=0) as server:
        _fill(server, n, dimension)
    file = server.data_dir / "collections" / "00000001" / "data.mdb"
    before_bytes, left_before = file.stat().st_size, _n_deleted_texts(file, n)
    compact(server.data_dir)
    faults = check_directory(server.data_dir)
    after_bytes, left_after = file.stat().st_size, _n_deleted_texts(file, n)
    live_bytes, n_records = _live(file.parent)
    if left_before == 0 or n_records != n // KEPT_OF:
        raise AssertionError(f"{left_before} deleted texts before, {n_records} records after: the measure is at fault")
    leg = f"{dimension}-d"
    return [
        report.Figure(f"{leg}: file / live data", after_bytes / live_bytes, "x", BAR if has_bars else None),
        report.Figure(f"{leg}: deleted texts in the file", left_after, "texts", 0),
        report.Figure(f"{leg}: deleted texts before compaction", left_before, "texts"),
        report.Figure(f"{leg}: file before", before_bytes / 1e6, "MB"),
        report.Figure(f"{leg}: file after", after_bytes / 1e6, "MB"),
        report.Figure(f"{leg}: faults of the check", len(faults), "faults", 0),
    ]


def _fill(server: Server, n: int, dimension: int) -> None:
    """All points in, then all but every tenth out."""
    server.make_collection(COLLECTION, dimension)
    key = server.make_key("acme")
    access = HttpAccess(server.port, key)
    with server.connect() as connection:
        for first in range(0, n, BATCH):
            vectors = samples.unit_vectors(BATCH, dimension, seed=first)
            connection.exchange(samples.binary_upsert(COLLECTION, key, first, vectors))
    for first in range(0, n, BATCH):
        gone = [f"p{number}" for number in range(first, first + BATCH) if number % KEPT_OF]
        access.run("delete_points", (COLLECTION,), {"ids": gone})
    access.close()


def _n_deleted_texts(file: Path, n: int) -> int:
    """How many deleted points' payload is somewhere in the file's bytes."""
    data = file.read_bytes()
    found, at = set(), data.find(b"document ")
    while at >= 0:
        found.add(data[at : at + len(_MARK % 0)])
        at = data.find(b"document ", at + 1)
    return sum(_MARK % number in found for number in range(n) if number % KEPT_OF)


def _live(folder: Path) -> tuple[int, int]:
    """Bytes of all keys and values, and the number of records."""
    env = Environment(folder, map_bytes=MAP_BYTES, max_map_bytes=MAP_BYTES, read_only=True)
    try:
        with env.read() as txn, txn.cursor() as cursor:
            sizes = [(len(key) + len(value), key[0]) for key, value in cursor.iternext()]
    finally:
        env.close()
    return sum(size for size, _ in sizes), sum(space == 0x20 for _, space in sizes)
