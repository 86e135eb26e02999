"""Requests generated from the served OpenAPI document, sent as an admin, a service and a tenant: no answer is a 500."""

from collections.abc import Sequence

import vdb.testing
from bench.fuzz.requests import CALLERS, Fuzz
from bench.report import Figure, parser, publish

__all__ = ["main"]

_FROM_POINTS = 2
"""Collections are indexed as soon as there is anything in them."""


def main(arguments: Sequence[str]) -> int:
    """Fuzz a server of its own; 1 if an answer was at fault."""
    options = parser("fuzz", __doc__)
    options.add_argument("--examples", type=int, default=200, help="per operation, caller and kind (default: 200)")
    given = options.parse_args(arguments)
    with vdb.testing.server(index_from_points=_FROM_POINTS) as server:
        fuzz = Fuzz(server, given.examples, seed=given.seed)
        for caller in CALLERS:
            for name in fuzz.operations:
                fuzz.run(name, caller)
            print(f"  {caller:<8} {fuzz.n_answers} answers so far, {len(fuzz.faults)} at fault", flush=True)
    for fault in fuzz.faults:
        print(f"\n{fault}")
    figures = [
        Figure("answers", fuzz.n_answers, "1"),
        Figure("operations", len(fuzz.operations), "1"),
        Figure("answers with a status of 500 or more", fuzz.n_server_errors, "1", bar=0),
        Figure("answers that the document does not describe", fuzz.n_undescribed, "1", bar=0),
        *(Figure(f"answers with status {status}", n, "1") for status, n in sorted(fuzz.statuses.items())),
    ]
    return publish("fuzz", arguments, given.results, figures)
