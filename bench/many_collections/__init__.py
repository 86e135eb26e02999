"""1,000 collections: made, used, and used again after a restart, under 1,024 file descriptors; what an idle one costs.

Each collection is written to and searched once, which opens its environment; the server keeps 256 open. Memory is the
server's anonymous memory against the same server with one collection: of all collections, and of those that are open,
from a second server that keeps all of them open and has the descriptors for it.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench import report
from bench.crash.access import HttpAccess
from bench.server import Server

DESCRIPTORS = 1_024
BAR_MB = 0.3
DIMENSION = 128
TENANT = "acme"


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("many-collections", __doc__)
    parser.add_argument("--n", type=int, default=1_000, help="collections (default: 1,000)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
        return report.publish("many-collections", arguments, given.results, run(Path(folder), given.n))


def run(folder: Path, n: int) -> list[report.Figure]:
    """The figures of `n` collections; raises what a use of one of them met."""
    server = Server(folder, n_descriptors=DESCRIPTORS, log_requests=0)
    with server:
        server.await_kernels()
        _use(server, range(1), is_new=True)
        empty_bytes = server.anonymous_bytes()
        create_s, _ = _use(server, range(1, n), is_new=True)
        made_bytes = server.anonymous_bytes()
    with server:
        ready_s = server.ready_s
        server.await_kernels()
        _, reopen_s = _use(server, range(n), is_new=False)
        used_bytes = server.anonymous_bytes()
    roomy = Server(folder, log_requests=0, max_open_environments=n)
    with roomy:
        roomy.await_kernels()
        _use(roomy, range(1), is_new=False)
        one_open_bytes = roomy.anonymous_bytes()
        _use(roomy, range(1, n), is_new=False)
        all_open_bytes = roomy.anonymous_bytes()
    return [
        report.Figure("collections used", n, "collections", n, at_least=True),
        report.Figure("idle memory of one, 256 open", (made_bytes - empty_bytes) / n / 1e6, "MB", BAR_MB),
        report.Figure("the same after a restart", (used_bytes - empty_bytes) / n / 1e6, "MB", BAR_MB),
        report.Figure("memory of an open one", (all_open_bytes - one_open_bytes) / n / 1e6, "MB", BAR_MB),
        report.Figure("create, median", statistics.median(create_s) * 1e3, "ms"),
        report.Figure("first use after a restart, median", statistics.median(reopen_s) * 1e3, "ms"),
        report.Figure("restart until ready", ready_s, "s"),
        report.Figure("disk of one", server.disk_bytes() / n / 1e3, "KB"),
    ]


def _use(server: Server, numbers: range, is_new: bool) -> tuple[list[float], list[float]]:
    """Make (if new), write to and search each; seconds of making it, and of the write and search."""
    made_s, used_s = [], []
    with closing(HttpAccess(server.port, server.admin_key)) as access:
        for number in numbers:
            name, vector = f"c{number}", [float(number + 1), *[1.0] * (DIMENSION - 1)]
            began = time.monotonic()
            if is_new:
                body = {"name": name, "dimension": DIMENSION, "metric": "l2"}
                access.run("create_collection", (), body)
            made = time.monotonic()
            access.run("upsert", (name,), {"points": [{"id": f"p{number}", "vector": vector}]}, TENANT)
            hits = access.run("search", (name,), {"vector": vector, "limit": 2}, TENANT)["hits"]
            if [(hit["id"], hit["distance"]) for hit in hits] != [(f"p{number}", 0.0)]:
                raise AssertionError(f"{name} answers {hits}")
            made_s.append(made - began)
            used_s.append(time.monotonic() - made)
    return made_s, used_s
