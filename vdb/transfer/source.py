"""From a path to an open source: the format is told by the name, or by `--format`."""

from collections.abc import Callable
from pathlib import Path

from vdb.errors import InvalidArgument
from vdb.transfer.fields import Fields
from vdb.transfer.hdf5 import open_hdf5
from vdb.transfer.jsonl import JsonlSource
from vdb.transfer.numpy_files import open_npy, open_npz
from vdb.transfer.parquet import ParquetSource
from vdb.transfer.rows import Source

FORMATS: dict[str, Callable[[Path, Fields], Source]] = {
    "jsonl": JsonlSource,
    "npy": open_npy,
    "npz": open_npz,
    "hdf5": open_hdf5,
    "parquet": ParquetSource,
}
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npy": "npy",
    ".npz": "npz",
    ".hdf5": "hdf5",
    ".h5": "hdf5",
    ".parquet": "parquet",
}


def open_source(path: Path, fields: Fields, file_format: str | None = None) -> Source:
    """The source in the file; raises InvalidArgument for one that cannot be read. Close it."""
    opener = FORMATS[file_format or format_of(path)]
    if not path.is_file():
        raise InvalidArgument(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    return opener(path, fields)


def format_of(path: Path) -> str:
    """The format that the name tells; raises InvalidArgument."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    found = _SUFFIXES.get(suffix)
    if found is None or (path.suffix == ".gz" and found != "jsonl"):
        raise InvalidArgument(f"{path.name}: the name tells no format: name it with --format {'|'.join(FORMATS)}")
    return found
