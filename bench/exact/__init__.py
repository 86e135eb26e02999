"""Recall of exact search against NumPy: every metric, with and without filters, own, granted and public points.

In process, through `vdb.open`. The larger tenants of each corpus ask, in turn; an answer is judged by distance (see
`oracle`), and a hit that its caller may not see counts as wrong, like one that does not match the filter.
"""

import tempfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import vdb
from bench import report
from bench.exact.corpus import Corpus, Filter, corpora
from bench.exact.oracle import Tally, distances, judge
from vdb.client.sync import Operations
from vdb.kernels import wait_ready

LIMITS = (10, 100)
_N_TENANTS = 8
_BATCH = 1000
_NAME = "exact"
_COMPILING_S = 60.0


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a recall is below 1."""
    parser = report.parser("exact", __doc__)
    parser.add_argument("--n", type=int, default=20_000, help="rows of each corpus, at most")
    parser.add_argument("--queries", type=int, default=200, help="queries of each corpus, at most")
    given = parser.parse_args(arguments)
    figures: list[report.Figure] = []
    n_wrong = 0
    for corpus in corpora(given.n, given.queries, given.seed):
        for name, tally in measure(corpus).items():
            figures.append(report.Figure(f"recall, {corpus.name}, {name}", tally.recall, "", 1.0, at_least=True))
            n_wrong += tally.n_wrong
            print(f"{corpus.name}, {name}: {tally.n_right} of {tally.n_expected}, {tally.n_wrong} wrong", flush=True)
    figures.append(report.Figure("wrong hits", n_wrong, "", 0))
    return report.publish("exact", arguments, given.results, figures)


def measure(corpus: Corpus) -> dict[str, Tally]:
    """Load a corpus into a database of its own and ask for each filter; what was found, by the filter's name."""
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, vdb.open(folder) as database:
        _load(database, corpus)
        wait_ready(_COMPILING_S)
        tallies = {name: Tally() for name in corpus.filters}
        for i, tenant in enumerate(corpus.tenants[:_N_TENANTS]):
            queries = corpus.queries[i::_N_TENANTS]
            visible = corpus.visible_to(tenant)
            for name, (wanted, matching) in corpus.filters.items():
                _ask(database, corpus, tenant, queries, wanted, np.flatnonzero(visible & matching), tallies[name])
    return tallies


def _load(database: Operations, corpus: Corpus) -> None:
    database.create_collection(_NAME, corpus.vectors.shape[1], corpus.metric)
    owners = np.array(corpus.owners)
    for tenant in corpus.tenants:
        database.create_tenant(tenant)
    for tenant in sorted({name for names in corpus.shared_with for name in names if name != "*"} - set(corpus.tenants)):
        database.create_tenant(tenant)
    for tenant in corpus.tenants:
        rows = np.flatnonzero(owners == tenant).tolist()
        points = database.collection(_NAME, tenant)
        for first in range(0, len(rows), _BATCH):
            chosen = rows[first : first + _BATCH]
            points.upsert(
                [f"p{row}" for row in chosen],
                corpus.vectors[chosen],
                [corpus.payloads[row] for row in chosen],
                shared_with=[corpus.shared_with[row] for row in chosen],
            )


def _ask(
    database: Operations,
    corpus: Corpus,
    tenant: str,
    queries: NDArray[np.float32],
    wanted: Filter,
    allowed: NDArray[np.int64],
    tally: Tally,
) -> None:
    """One tenant's queries under one filter, for every limit, alone and together in one request."""
    rows = corpus.vectors[allowed].astype(np.float64)
    points = database.collection(_NAME, tenant)
    for limit in LIMITS if len(queries) else ():
        together = points.search(queries, limit, filter=wanted)
        for query, hits in zip(queries, together, strict=True):
            true = distances(corpus.metric, query, rows)
            judge(tally, hits, allowed, true, limit)
        judge(tally, points.search(query, limit, filter=wanted), allowed, true, limit)
