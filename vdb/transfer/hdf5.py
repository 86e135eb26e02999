"""HDF5 in the form of ann-benchmarks: a matrix `train`, the metric in the attribute `distance`, columns beside it.

Only what lies in the file itself is read: no external or soft link, no virtual dataset, no external storage. A dataset
that claims far more than the file stores, or chunks too large to unpack, is refused before it is read.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vdb.errors import InvalidArgument
from vdb.transfer.extras import library
from vdb.transfer.fields import Fields
from vdb.transfer.hdf5_text import MAX_TEXT_BYTES, TextColumn
from vdb.transfer.matrix import Column, Columns, MatrixSource, name_of
from vdb.transfer.numpy_files import payload_name
from vdb.transfer.rows import damaged

METRICS = {
    "angular": "cosine",
    "cosine": "cosine",
    "dot": "ip",
    "euclidean": "l2",
    "inner product": "ip",
    "innerproduct": "ip",
    "ip": "ip",
    "l2": "l2",
}
"""The words for a metric in ann-benchmarks' files, and ours."""

MAX_RATIO = 200
FREE_BYTES = 64 << 20
MAX_CHUNK_BYTES = 256 << 20
"""Of one chunk of a dataset, which is unpacked as a whole."""
_METRIC_TIMEOUT_S = 20.0
_READ_METRIC = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    word = file.attrs["distance"]
sys.stdout.write(word.decode() if isinstance(word, bytes) else str(word))
"""
_FOREIGN = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError, UnicodeError)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidArgument:
        raise
    except _FOREIGN as exc:
        raise damaged(path, f"cannot be read: {str(exc).partition(chr(10))[0][:200]}") from exc


def open_hdf5(path: Path, fields: Fields) -> MatrixSource:
    """An .hdf5 or .h5 file with `train`, or another dataset by name."""
    h5py = library("h5py")
    with _reading(path):
        file = h5py.File(path, "r")
    try:
        return _open(h5py, file, path, fields)
    except BaseException:
        file.close()
        raise


def _open(h5py: Any, file: Any, path: Path, fields: Fields) -> MatrixSource:
    def is_there(name: str) -> bool:
        return _link(h5py, file, path, name) is not None

    with _reading(path):
        names = {
            "vectors": name_of(fields.vector, "train", is_there, path),
            "ids": None if fields.id_prefix is not None else name_of(fields.id, "ids", is_there, path),
            "payloads": name_of(payload_name(fields), "payloads", is_there, path),
            "expires_at": name_of(fields.expires_at, "expires_at", is_there, path),
            "shared_with": name_of(fields.shared_with, "shared_with", is_there, path),
            "has_vector": "has_vector" if is_there("has_vector") else None,
        }
        if names["vectors"] is None:
            raise damaged(path, f"has no dataset 'train': --vector names one of {', '.join(sorted(file)[:10])}")
        texts: list[TextColumn] = []
        found = {key: _column(h5py, file, path, name, texts) for key, name in names.items() if name is not None}

    def close() -> None:
        for text in texts:
            text.close()
        file.close()

    return MatrixSource(path, fields, lambda: Columns(**found), close, lambda: _metric(file, path))


def _metric(file: Any, path: Path) -> str | None:
    """Our word for the attribute `distance`, None where there is none; raises InvalidArgument for another word.

    It is read by a process of its own: the library never returns from a text whose heap is damaged.
    """
    with _reading(path):
        if "distance" not in file.attrs:
            return None
    command = [sys.executable, "-c", _READ_METRIC, str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_METRIC_TIMEOUT_S)
        return METRICS[done.stdout.lower()]
    except (subprocess.SubprocessError, UnicodeError, KeyError) as exc:
        raise damaged(path, "its attribute 'distance' is no metric that is known: --metric names one") from exc


def _column(h5py: Any, file: Any, path: Path, name: str, texts: list[TextColumn]) -> Column:
    """A dataset of the file as a column; text is noted in `texts`, to be closed."""
    dataset = _link(h5py, file, path, name)
    if not isinstance(dataset, h5py.Dataset):
        raise damaged(path, f"{name!r} is not a dataset")
    if dataset.is_virtual or dataset.external:
        raise damaged(path, f"dataset {name!r} lies in other files, which are not read")
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None and text.length is None:
        texts.append(TextColumn(h5py, file, path, dataset))
        return texts[-1]
    return _Dataset(path, name, dataset)


class _Dataset:
    """A dataset of numbers, or of text of one width, as a column."""

    def __init__(self, path: Path, name: str, dataset: Any) -> None:
        self._path, self._name, self._dataset = path, name, dataset
        if dataset.dtype.kind not in "biufS":
            raise damaged(path, f"dataset {name!r} holds {dataset.dtype}, which is not taken")
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype: np.dtype[Any] = dataset.dtype
        self._check_size(dataset)

    def read(self, start: int, stop: int) -> Any:
        with _reading(self._path):
            return self._dataset[start:stop]

    def _check_size(self, dataset: Any) -> None:
        n_bytes = prod(self.shape) * self.dtype.itemsize
        stored = dataset.id.get_storage_size()
        if n_bytes and (not stored or (n_bytes > FREE_BYTES and n_bytes > MAX_RATIO * stored)):
            raise damaged(
                self._path, f"dataset {self._name!r} claims shape {self.shape} and stores {stored} bytes of it"
            )
        if not 1 <= self.dtype.itemsize <= MAX_TEXT_BYTES:
            raise damaged(self._path, f"dataset {self._name!r} holds {self.dtype}, which is not taken")
        if dataset.chunks and prod(dataset.chunks) * self.dtype.itemsize > MAX_CHUNK_BYTES:
            raise damaged(self._path, f"dataset {self._name!r} has chunks of more than {MAX_CHUNK_BYTES} bytes")


def _link(h5py: Any, file: Any, path: Path, name: str) -> Any:
    """What hard links lead to, None for nothing; raises InvalidArgument for a link of another kind."""
    place = file
    for part in filter(None, name.split("/")):
        if not isinstance(place, h5py.Group) or part in (".", ".."):
            return None
        links = place.id.links  # the mapping's own look would follow the link first
        if not links.exists(part.encode()):
            return None
        if links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise damaged(path, f"{part[:64]!r} is a link to another place, which is not followed")
        place = place[part]
    return None if place is file else place
