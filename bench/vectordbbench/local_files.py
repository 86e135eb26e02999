"""Datasets of VectorDBBench from the local folder alone, where `VDB_BENCH_LOCAL` is set: nothing is downloaded.

The harness checks each file of its own datasets against the store that they come from, so that a machine without the
internet cannot run its numbered cases even if it has the files.
"""

import os
from pathlib import Path
from typing import Any

from vectordb_bench.backend import data_source

__all__ = ["VARIABLE", "use"]

VARIABLE = "VDB_BENCH_LOCAL"


def use() -> None:
    """Let the harness read what lies in `DATASET_LOCAL_DIR`, if the variable is set."""
    if os.environ.get(VARIABLE):
        data_source.AwsS3Reader = _LocalReader


class _LocalReader:
    """In place of the reader of the harness's store."""

    def read(self, dataset: str, files: list[str], local_ds_root: Path, **kwargs: Any) -> dict[str, Path]:
        """Where the files lie; raises FileNotFoundError for one that does not."""
        found = {name: Path(local_ds_root) / name for name in files}
        for path in found.values():
            if not path.exists():
                raise FileNotFoundError(f"{path} is not there, and nothing is downloaded while {VARIABLE} is set")
        return found
