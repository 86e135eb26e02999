"""The control of the crash harness: the command line with a commit queue that answers before it commits.

A harness that finds nothing wrong with this server finds nothing at all.
"""

import sys
import time
from typing import Any

from vdb.cli import main
from vdb.engine.commit import CommitQueue, Ticket

LATE_S = 0.05
"""How long a write stays uncommitted after its answer, so that a kill falls between the two."""


_settle_in_order = CommitQueue._settle


def settle_early(queue: CommitQueue[Any], batch: list[Ticket[Any]]) -> None:
    """In place of `CommitQueue._settle`: resolve the futures, then commit. The catalog's queue stays as it is."""
    if queue._env.path.name == "catalog":
        _settle_in_order(queue, batch)
        return
    with queue._env.write() as txn:
        group = queue._open_group(txn)
        outcomes = [queue._apply(group, ticket) for ticket in batch]
        group.close()
        for ticket, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(outcome)
        time.sleep(LATE_S)
    group.publish()


if __name__ == "__main__":
    CommitQueue._settle = settle_early  # type: ignore[assignment, method-assign]
    sys.exit(main())
