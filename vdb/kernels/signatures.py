"""What each kernel takes and returns, as type checkers see it. Contracts stand in `vdb/kernels/cpu`."""

from collections.abc import Callable

from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_clustering import Float64s
from vdb.kernels.reference_layout import Bools, Int32s, UInt64s
from vdb.kernels.tables import ReadingTable, Table

ScanRows = Callable[
    [
        Float32s,  # query (d,)
        Float32s,  # vectors (capacity, d)
        Float32s,  # scales (capacity,); (0,) unless cosine
        UInt32s,  # pids
        Int64s,  # added_at
        Int64s,  # dead_at
        Int64s,  # expires_at, ms; 0 = never
        UInt8s,  # mask; (0,) = none
        int,  # n_rows
        int,  # sequence
        int,  # now_ms
        int,  # metric
        Float32s,  # heap_distance (m,)
        Int64s,  # heap_row (m,)
    ],
    int,
]
ScanMany = Callable[
    [
        Float32s,  # queries (q, d)
        Float32s,
        Float32s,
        UInt32s,
        Int64s,
        Int64s,
        Int64s,
        UInt8s,
        int,
        int,
        int,
        int,
        Float32s,  # heap_distance (q, m)
        Int64s,  # heap_row (q, m)
        Int64s,  # found (q,)
    ],
    None,
]
SearchCells = Callable[
    [
        Float32s,  # query (D,)
        Table,  # of the model
        Table,  # of the rows
        Table,  # of the vectors
        ReadingTable,  # of the tenant
        ReadingTable,  # of everyone
        int,  # sequence, from the layout's
        int,  # now_s
        int,  # budget
        int,  # m
        Float32s,  # distance (k,)
        Int64s,  # row (k,)
        Int64s,  # statistics (4,)
    ],
    None,
]
ResidualOf = Callable[
    [
        Float32s,  # query (D,)
        Table,  # of the model
    ],
    float,
]
SearchLists = Callable[
    [
        Float32s,  # query (D,)
        Table,  # of the model
        Table,  # of the pages
        Table,  # of the vectors
        Table,  # of the tenant's reading
        Table,  # of everyone's
        int,  # sequence, from the layout's
        int,  # now_s
        int,  # budget
        float,  # ratio
        float,  # margin
        int,  # m
        Float32s,  # distance (k,)
        Int64s,  # row (k,)
        UInt32s,  # pid (k,)
        Int64s,  # statistics (8,)
    ],
    None,
]
NearestCells = Callable[
    [
        Float32s,  # kept (n, d)
        UInt8s,  # cell_codes (c, W)
        Float32s,  # cell_constants
        Float32s,  # cell_offset
        UInt32s,  # cell (n,)
    ],
    None,
]
NearestCellsBelow = Callable[
    [
        Float32s,  # kept (n, d)
        UInt8s,  # top_codes (g, W)
        Float32s,  # top_constants
        Float32s,  # top_offset
        UInt32s,  # first (g + 1,)
        UInt8s,  # cell_codes (c, W)
        Float32s,  # cell_constants
        Float32s,  # cell_offset
        int,  # n_tops
        UInt32s,  # cell (n,)
    ],
    None,
]
SharingKeys = Callable[
    [
        Int64s,  # starts (t + 1,)
        UInt32s,  # rows (p,)
        UInt64s,  # key (n,)
    ],
    None,
]
NameRows = Callable[
    [
        int,  # tenant
        UInt32s,  # listed
        int,  # first
        int,  # stop
        UInt32s,  # tail
        Bools,  # is_kept (n,)
        UInt32s,  # owners
        UInt32s,  # place (n,)
        Bools,  # is_late (n,)
        UInt32s,  # named
    ],
    int,
]
ListRows = Callable[
    [
        Int64s,  # starts (t + 1,)
        UInt32s,  # rows (p,)
        UInt32s,  # place (n,)
        UInt32s,  # cells (n,)
        UInt32s,  # listed (p,)
    ],
    None,
]
CutEntries = Callable[
    [
        Int64s,  # spans (t, 9)
        UInt32s,  # listed
        UInt32s,  # cells
        Int32s,  # children (v, 2)
        UInt32s,  # low (v,)
        UInt32s,  # high
        int,  # limit
        int,  # own_least
        int,  # list_least
        UInt32s,  # entries (2, e)
    ],
    int,
]
Fold = Callable[
    [
        UInt32s,  # listed
        int,  # first
        int,  # stop
        UInt32s,  # tail
        UInt32s,  # cells
        UInt32s,  # dead_at
        int,  # sequence
        UInt32s,  # merged
    ],
    int,
]
SumRows = Callable[[Float32s, Int32s, Float64s], None]
"""rows (n, d), labels (n,), sums (k, d)."""
TwoMeans = Callable[[Float32s, int, Float32s], None]
"""rows (n, d), n_iterations, pair (2, d)."""
ScanCodes = Callable[
    [
        Float32s,  # query (d,)
        UInt8s,  # codes (capacity, W)
        Float32s,  # constants (2, capacity)
        UInt32s,  # stamps (capacity,)
        UInt32s,  # rows (n,); (0,) for the first n
        int,  # n
        Float32s,  # heap_score (m,)
        UInt32s,  # heap_row (m,)
    ],
    int,
]
CompareRows = Callable[[Float32s, Float32s, UInt32s, Float32s], None]
"""query (d,), vectors (capacity, d), rows (n,), similarity (n,)."""
SketchWords = Callable[
    [
        UInt32s,  # characters (n,)
        Int64s,  # ends (w,)
        Int32s,  # weights (w,)
        Int32s,  # gram_weights
        Int64s,  # sums (d,)
    ],
    None,
]
RankPostings = Callable[
    [
        UInt64s,  # postings (P,)
        Int64s,  # starts (l + 1,)
        Float64s,  # weights (l,)
        float,  # flat
        float,  # slope
        UInt32s,  # allowed
        bool,  # is_limited
        Float64s,  # top_score (k,)
        UInt32s,  # top_pid (k,)
    ],
    int,
]
ScorePoints = Callable[[UInt64s, Int64s, Float64s, float, float, UInt32s, Float64s], None]
"""postings (P,), starts (l + 1,), weights (l,), flat, slope, pids (n,), score (n,)."""
