"""HDF5 in the form of ann-benchmarks: a matrix `train`, the metric in the attribute `distance`, columns beside it.

Only what lies in the file itself is read: no external or soft link, no virtual dataset, no external storage. A dataset
that claims far more than the file stores, or chunks too large to unpack, is refused before it is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vdb.errors import InvalidArgument
from vdb.transfer.extras import library
from vdb.transfer.fields import Fields
from vdb.transfer.matrix import Columns, MatrixSource, name_of
from vdb.transfer.numpy_files import MAX_TEXT_BYTES, payload_name
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
_TEXT_ENTRY = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
"""What a dataset of variable-length text holds of each text: it lies in a heap."""
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
        found = {key: _Dataset(h5py, file, path, name) for key, name in names.items() if name is not None}
        distance = file.attrs.get("distance")
    if isinstance(distance, bytes):
        distance = distance.decode("utf-8", "replace")
    metric = METRICS.get(distance.lower()) if isinstance(distance, str) else None
    return MatrixSource(path, fields, lambda: Columns(**found), file.close, metric)


class _Dataset:
    """A dataset as a column."""

    def __init__(self, h5py: Any, file: Any, path: Path, name: str) -> None:
        self._path, self._name = path, name
        dataset = _link(h5py, file, path, name)
        if not isinstance(dataset, h5py.Dataset):
            raise damaged(path, f"{name!r} is not a dataset")
        if dataset.is_virtual or dataset.external:
            raise damaged(path, f"dataset {name!r} lies in other files, which are not read")
        text = h5py.check_string_dtype(dataset.dtype)
        if text is None and dataset.dtype.kind not in "biufS":
            raise damaged(path, f"dataset {name!r} holds {dataset.dtype}, which is not taken")
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype: np.dtype[Any] = dataset.dtype
        self._dataset = dataset
        self._is_text = text is not None and text.length is None
        if self._is_text:
            self._check_text(h5py, file)
        self._check_size(dataset)

    def read(self, start: int, stop: int) -> Any:
        with _reading(self._path):
            if not self._is_text:
                return self._dataset[start:stop]
            self._check_lengths(start, stop)
            return self._dataset[start:stop].tolist()

    def _check_text(self, h5py: Any, file: Any) -> None:
        """Refuse text of which the lengths cannot be seen before it is read."""
        made = self._dataset.id.get_create_plist()
        is_plain = made.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) and not made.get_nfilters()
        if not is_plain or len(self.shape) != 1 or file.id.get_create_plist().get_sizes() != (8, 8):
            raise damaged(self._path, f"dataset {self._name!r}: text is taken as one column without compression")

    def _check_lengths(self, start: int, stop: int) -> None:
        """Refuse text that is too long, before the library takes memory for what its entries claim."""
        with self._path.open("rb") as raw:
            for place, first, last in self._runs(start, stop):
                raw.seek(place)
                entries = np.frombuffer(raw.read((last - first) * _TEXT_ENTRY.itemsize), _TEXT_ENTRY)
                if len(entries) and int(entries["length"].max()) > MAX_TEXT_BYTES:
                    raise damaged(self._path, f"{self._name!r} has text of more than {MAX_TEXT_BYTES} bytes")

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Where in the file the entries of rows lie: place, first row, end, for each run of them."""
        stored = self._dataset.id
        if self._dataset.chunks is None:
            place = stored.get_offset()
            if place is not None:
                yield place + start * _TEXT_ENTRY.itemsize, start, stop
            return
        (step,) = self._dataset.chunks
        for begin in range(start - start % step, stop, step):
            chunk = stored.get_chunk_info_by_coord((begin,))
            if chunk.byte_offset is not None:
                first, last = max(start, begin), min(stop, begin + step)
                yield chunk.byte_offset + (first - begin) * _TEXT_ENTRY.itemsize, first, last

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
