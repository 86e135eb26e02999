"""Tables of arrays that kernels are handed by address: what does not fit is refused where the table is made."""

import numpy as np
import pytest

from vdb.kernels.tables import DIRECTORY, MODEL, VECTORS, ReadingTable, Table, address_of

PLACES = np.arange(6, dtype=np.uint32)
ENTRIES = np.arange(6, dtype=np.uint32).reshape(2, 3)
SPANS = np.zeros(9, np.int64)


def test_a_table_says_where_its_arrays_lie_and_holds_them() -> None:
    table = Table(DIRECTORY, (ENTRIES, PLACES, PLACES[2:]))
    assert table._words.tolist() == [
        ENTRIES.ctypes.data, 2, 3, PLACES.ctypes.data, 6, 1, PLACES.ctypes.data + 8, 4, 1,
    ]  # fmt: skip
    assert table.at == table._words.ctypes.data
    assert all(held is given for held, given in zip(table.arrays, (ENTRIES, PLACES), strict=False))


def test_numbers_follow_the_arrays() -> None:
    codes = np.zeros((3, 40), np.uint8)
    table = Table(MODEL, (codes, codes, np.zeros(3, np.float32)), (1, 2, 32))
    assert table._words[9:].tolist() == [1, 2, 32] == list(table.numbers)


@pytest.mark.parametrize(
    "entries",
    [
        ENTRIES.astype(np.int64),
        ENTRIES.astype(np.int32),
        ENTRIES.astype(">u4"),
        ENTRIES[0],
        ENTRIES.T,
        ENTRIES[:, :2],
        np.zeros(25, np.uint8)[1:].view(np.uint32).reshape(2, 3),
    ],
    ids=["wider", "signed", "byte order", "one dimension", "column order", "a part", "unaligned"],
)
def test_arrays_that_kernels_would_misread_are_refused(entries: np.ndarray) -> None:
    with pytest.raises(TypeError):
        Table(DIRECTORY, (entries, PLACES, PLACES))


def test_coded_rows_that_cannot_be_read_as_floats_are_refused() -> None:
    codes, offsets = np.zeros((3, 40), np.uint8), np.zeros(3, np.float32)
    for odd in (np.zeros((3, 39), np.uint8), np.zeros(121, np.uint8)[1:].reshape(3, 40)):
        with pytest.raises(TypeError):
            Table(MODEL, (odd, codes, offsets), (0, 0, 32))


def test_as_many_arrays_as_the_layout_has_are_needed() -> None:
    with pytest.raises(ValueError, match="zip"):
        Table(VECTORS, ())


def test_readings_of_a_directory_share_its_table() -> None:
    spans = np.zeros((5, 9), np.int64)
    directory = Table(DIRECTORY, (ENTRIES, PLACES, PLACES))
    third = ReadingTable(spans[3], directory, address_of(spans) + 3 * spans.strides[0])
    assert (third.at, third.spans_at) == (directory.at, spans[3].ctypes.data)
    assert ReadingTable(spans[3], directory).spans_at == third.spans_at
    for odd in (spans.T, spans.astype(np.int32), spans[:, :7].copy(), spans[::2, :8]):
        with pytest.raises(TypeError):
            address_of(odd)
