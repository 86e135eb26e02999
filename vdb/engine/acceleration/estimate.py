"""How long a search would take on the CPU, about, to tell whether it is worth an accelerator's while.

From bytes: rows, nodes and vectors are read at the rate of a core whose memory others use too, and each costs its loop.
"""

from typing import Final

from vdb.index.curator.index import Effort
from vdb.index.curator.state import Reading, State

__all__ = ["BYTE_S", "ROW_S", "START_S", "VECTOR_ROWS", "cpu_s"]

START_S: Final = 30e-6
"""A search of nothing: its query is projected and coded."""
ROW_S: Final = 5e-9
BYTE_S: Final = 0.1e-9
VECTOR_ROWS: Final = 3.0
"""A vector lies anywhere: it costs as much as so many in a row."""


def cpu_s(state: State, readings: tuple[Reading, Reading], effort: Effort, n_queries: int) -> float:
    """Estimated seconds of so many searches of two readings with that effort, one after the other."""
    n_named = sum(reading.n_rows for reading in readings)
    n_rows = min(n_named, effort.budget + sum(reading.n_whole for reading in readings))
    n_nodes = sum(reading.n_entries for reading in readings)
    model = state.model
    n_bytes: float = n_rows * model.encoding.row_bytes + n_nodes * model.encoding.dimension
    n_bytes += VECTOR_ROWS * effort.candidates * 4 * model.dimension
    return n_queries * (START_S + ROW_S * (n_rows + n_nodes + effort.candidates) + BYTE_S * n_bytes)
