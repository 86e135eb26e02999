"""What tests of tuning ask of an engine."""

from contextlib import suppress
from typing import Any

import numpy as np

from tests.engine.driver import wait_until
from tests.engine.indexed.books import Books, D
from vdb.errors import VdbError
from vdb.index.curator.costs import Costs
from vdb.index.curator.model import Form
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Empty, Tune

COSTS = Costs(D, 5.0, 1e-4, 0.01, 0.1, dict.fromkeys(Form, ((1, 0.001), (10000, 1.0))))


def ask(books: Books, n: int, tenant: str = "acme", limit: int = 3) -> None:
    """So many queries in one request."""
    block = books.rng.standard_normal((n, D)).astype(np.float32)
    books.driver.run("search", tenant, ("books",), SearchHead(limit=limit, n_queries=n), block)


def tuned(books: Books, request: Tune) -> Any:
    """The job of a request, once the indexer's step is done."""
    job = books.driver.run("tune", None, ("books",), request)
    wait_until(lambda: books.index.tuner.wanted is not None)
    with suppress(VdbError):
        books.work()
    return ended(books, job.id)


def ended(books: Books, job_id: str) -> Any:
    def job() -> Any:
        return books.driver.run("get_job", None, (job_id,), Empty())

    wait_until(lambda: job().state in ("done", "failed"))
    return job()


def explained(books: Books, **given: Any) -> Any:
    block = books.rng.standard_normal(D).astype(np.float32)
    return books.driver.run("search", "acme", ("books",), SearchHead(limit=3, explain=True, **given), block).explain


def stats(books: Books) -> Any:
    return books.driver.run("collection_stats", None, ("books",), Empty()).index
