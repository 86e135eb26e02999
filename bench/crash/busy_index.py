"""The command line with indexes that are made early, laid out and folded all the time: kills fall into that work.

A collection of the harness has some hundred points, and a server lives for a second.
"""

import sys

from vdb.cli import main
from vdb.engine import indexer, shard_index
from vdb.index.curator import index
from vdb.index.spann import deepening, fold
from vdb.index.spann import index as lists

FROM_POINTS = 20
INTERVAL_S = 0.02
LEAST_CHANGES = 20
MOST_MISSED = 50
LEAST_FOLD = 20
LIST_ROWS = 8
"""Lists of so few rows are split all the time."""


if __name__ == "__main__":
    indexer.INTERVAL_S = INTERVAL_S
    index.LEAST_CHANGES = LEAST_CHANGES
    shard_index.MOST_MISSED = MOST_MISSED
    lists.LEAST_FOLD = LEAST_FOLD
    deepening.LIST_LIMIT = fold.LIST_ROWS = LIST_ROWS
    fold.SPLIT_ROWS = 2 * LIST_ROWS
    sys.exit(main())
