"""The command line with indexes that are made early and laid out all the time: kills fall into that work.

A collection of the harness has some hundred points, and a server lives for a second.
"""

import sys

from vdb.cli import main
from vdb.engine import indexer, shard_index
from vdb.index.curator import index

FROM_POINTS = 20
INTERVAL_S = 0.02
LEAST_CHANGES = 20
MOST_MISSED = 50


if __name__ == "__main__":
    indexer.INTERVAL_S = INTERVAL_S
    index.LEAST_CHANGES = LEAST_CHANGES
    shard_index.MOST_MISSED = MOST_MISSED
    sys.exit(main())
