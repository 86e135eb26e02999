"""Files made to do harm, or cut off: a clear error of one line, nothing written but what the error says."""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from tests.transfer.importing import Importing
from vdb.transfer import Fields
from vdb.transfer.rows import MAX_DIMENSION

SMALL = np.ones((3, 2), np.float32)


def _npy(head: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = head.encode() + b" " * 20 + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def _shape(shape: str, kind: str = "<f4", order: bool = False) -> str:
    return f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}"


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def _npz(**arrays: Any) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)
    return made.getvalue()


def _table(**columns: Any) -> bytes:
    made = io.BytesIO()
    parquet.write_table(arrow.table({"id": ["a", "b", "c"], "vector": list(SMALL)} | columns), made, compression="gzip")
    return made.getvalue()


BAD_NPY = {
    "empty": (b"", "cannot be read"),
    "not numpy": (b"PK\x03\x04" + b"x" * 200, "cannot be read"),
    "cut off": (_npy(_shape("(3, 2)"), b"\0" * 23), "cut off"),
    "cut off in its head": (_npy(_shape("(3, 2)"))[:30], "cannot be read"),
    "an absurd shape": (_npy(_shape("(1000000000000000, 128)")), "cut off"),
    "a shape beyond 64 bits": (_npy(_shape(f"({10**40}, 2)")), "cut off"),
    "a negative shape": (_npy(_shape("(-3, 2)"), b"\0" * 24), "not taken"),
    "a shape of text": (_npy(_shape("'3'"), b"\0" * 24), "cannot be read"),
    "objects": (_npy(_shape("(3, 2)", "|O"), b"\x80\x04N."), "never loaded"),
    "a head that runs code": (_npy("{'descr': __import__('os').system('true')}"), "cannot be read"),
    "a head nested too deep": (_npy("(" * 5000), "cannot be read"),
    "a head of gigabytes": (_npy("", version=b"\x02\x00")[:8] + b"\xff\xff\xff\x7f" + b" " * 500, "cannot be read"),
    "a later version": (b"\x93NUMPY\x09\x00" + b"\0" * 100, "version"),
    "text for numbers": (_npy(_shape("(1, 2)", "<U4"), b"\0" * 32), "numbers"),
    "complex numbers": (_npy(_shape("(1, 2)", "<c8"), b"\0" * 16), "not taken"),
    "one dimension": (_npy(_shape("(6,)"), b"\0" * 24), "matrix"),
    "no dimension": (_npy(_shape("()"), b"\0" * 4), "matrix"),
    "vectors without numbers": (_npy(_shape("(5, 0)")), "not taken"),
    "rows of absurd length": (_npy(_shape(f"(1, {MAX_DIMENSION + 1})"), b"\0" * 4 * (MAX_DIMENSION + 1)), "not taken"),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_a_bad_npy_is_refused(name: str, importing: Importing) -> None:
    data, reason = BAD_NPY[name]
    _check_refused(importing, importing.write("a.npy", data), reason)


BAD_NPZ = {
    "empty": (b"", "not a zip"),
    "cut off": (_npz(vectors=SMALL)[:-30], "not a zip"),
    "damaged within": (
        _zip({"vectors.npy": _npy(_shape("(1, 2)"), b"\0" * 8)}, 0).replace(b"\0" * 8, b"\1" * 8),
        "CRC",
    ),
    "a bomb": (_zip({"vectors.npy": _npy(_shape("(100000000, 1)", "|u1"), b"\0" * 10**8)}), "more than 200 times"),
    "an absurd shape": (_zip({"vectors.npy": _npy(_shape("(1000000000000000, 128)"))}), "does not fit"),
    "objects": (_zip({"vectors.npy": _npy(_shape("(3, 2)", "|O"), b"\x80\x04N.")}), "never loaded"),
    "another compression": (_zip({"vectors.npy": _npy(_shape("(1, 1)"))}, zipfile.ZIP_LZMA), "numpy does not use"),
    "no arrays": (_zip({"readme.txt": b"hello"}), "no array"),
    "no vectors": (_npz(a=SMALL, b=SMALL), "--vector names one of a, b"),
    "fewer ids than rows": (_npz(vectors=SMALL, ids=["a"]), "ids has shape (1,)"),
    "stored by columns": (_npz(vectors=np.asfortranarray(np.ones((3, 2), np.float32))), "stored by columns"),
    "too many members": (_zip({f"{i:0>60}.npy": b"" for i in range(11_000)}), "more members"),
    "texts with wrong ends": (
        _npz(vectors=SMALL, ids=np.zeros(4, np.uint8), ids_ends=np.array([9, 2, -5])),
        "ends of its texts",
    ),
    "ids of another type": (_npz(vectors=SMALL, ids=np.zeros(4, np.uint8), ids_ends=np.zeros(3, np.int8)), "int64"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_a_bad_npz_is_refused(name: str, importing: Importing) -> None:
    data, reason = BAD_NPZ[name]
    _check_refused(importing, importing.write("a.npz", data), reason)


def test_path_names_in_an_npz_are_read_and_never_written(importing: Importing) -> None:
    array = io.BytesIO()
    np.save(array, SMALL)
    members = {"../../escaped.npy": b"x", "/tmp/escaped.npy": b"x", "vectors.npy": array.getvalue()}
    file = importing.write("a.npz", _zip(members))
    assert importing.run(file).n_written == 3
    assert [path.name for path in importing.folder.iterdir()] == ["a.npz"]
    assert not importing.folder.parent.joinpath("escaped.npy").exists()
    _check_refused(importing, file, "cannot be read", Fields(vector="../../escaped"))


def _external_link(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["train"] = SMALL
    file["train"] = h5py.ExternalLink("other.h5", "train")


def _soft_link(file: h5py.File, folder: Path) -> None:
    file["real"] = SMALL
    file["train"] = h5py.SoftLink("/real")


def _link_on_the_way(file: h5py.File, folder: Path) -> None:
    file["train"] = h5py.ExternalLink(str(folder / "nowhere.h5"), "/")


def _virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["data"] = SMALL
    layout = h5py.VirtualLayout(shape=(3, 2), dtype="f4")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "data", shape=(3, 2))
    file.create_virtual_dataset("train", layout)


def _external_storage(file: h5py.File, folder: Path) -> None:
    folder.joinpath("secret.bin").write_bytes(b"\0" * 24)
    file.create_dataset("train", (3, 2), "f4", external=[(str(folder / "secret.bin"), 0, 24)])


def _absurd(file: h5py.File, folder: Path) -> None:
    file.create_dataset("train", (10**15, 128), "f4", chunks=(1000, 128))


def _bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("train", data=np.zeros((200_000, 128), "f4"), chunks=(50_000, 128), compression=9)


def _wide_chunk(file: h5py.File, folder: Path) -> None:
    data = file.create_dataset("train", (10_000, 10_000), "f4", chunks=(10_000, 10_000), compression=1)
    data[:10, :10] = 1


BAD_HDF5: dict[str, tuple[Callable[[h5py.File, Path], object], str]] = {
    "an external link": (_external_link, "not followed"),
    "a soft link": (_soft_link, "not followed"),
    "a link to a file that is not there": (_link_on_the_way, "not followed"),
    "a virtual dataset": (_virtual, "other files"),
    "external storage": (_external_storage, "other files"),
    "an absurd shape": (_absurd, "stores 0 bytes"),
    "a bomb": (_bomb, "claims shape"),
    "chunks too large to unpack": (_wide_chunk, "cla"),
    "a group": (lambda file, folder: file.create_group("train"), "not a dataset"),
    "nothing": (lambda file, folder: None, "no dataset 'train'"),
    "text": (lambda file, folder: file.create_dataset("train", data=["a", "b"]), "matrix"),
    "one dimension": (lambda file, folder: file.create_dataset("train", data=[1.0]), "matrix"),
    "compressed text": (
        lambda file, folder: (
            file.create_dataset("train", data=SMALL),
            file.create_dataset("ids", data=["a"] * 3, compression="gzip"),
        ),
        "without compression",
    ),
    "compound values": (
        lambda file, folder: file.create_dataset("train", data=np.zeros((2, 2), [("a", "f4")])),
        "not taken",
    ),
}


@pytest.mark.parametrize("name", BAD_HDF5)
def test_a_bad_hdf5_is_refused(name: str, importing: Importing) -> None:
    make, reason = BAD_HDF5[name]
    with h5py.File(importing.folder / "a.hdf5", "w") as file:
        make(file, importing.folder)
    _check_refused(importing, importing.folder / "a.hdf5", reason)


def test_an_hdf5_that_is_cut_off_is_refused(importing: Importing) -> None:
    with h5py.File(importing.folder / "b.hdf5", "w") as file:
        file["train"] = np.ones((1000, 20), np.float32)
    whole = (importing.folder / "b.hdf5").read_bytes()
    _check_refused(importing, importing.write("a.hdf5", whole[: len(whole) // 2]), "cannot be read")
    _check_refused(importing, importing.write("c.hdf5", b"\x89HDF\r\n\x1a\n" + b"\xff" * 3000), "cannot be read")


def _damaged_heap(importing: Importing, change: Callable[[bytearray, int], None]) -> Path:
    """A file whose ids lie in a heap that `change` damages, given the bytes and the heap's place."""
    file = importing.folder / "a.hdf5"
    with h5py.File(file, "w") as made:
        made["train"], made["ids"] = SMALL, ["a", "b", "c"]
        made.attrs["distance"] = "euclidean"
    data = bytearray(file.read_bytes())
    change(data, data.index(b"GCOL"))
    file.write_bytes(data)
    return file


BAD_HEAPS: dict[str, tuple[Callable[[bytearray, int], None], str]] = {
    "an object beyond its heap": (lambda data, at: data.__setitem__(slice(at + 24, at + 32), b"\xff" * 8), "cut off"),
    "an object that is not there": (lambda data, at: data.__setitem__(at + 16, 9), "does not hold"),
    "another mark": (lambda data, at: data.__setitem__(at, 0), "a heap that is none"),
    "a heap of absurd size": (lambda data, at: data.__setitem__(slice(at + 8, at + 16), b"\x7f" * 8), "that is none"),
}


@pytest.mark.parametrize("name", BAD_HEAPS)
def test_text_in_a_damaged_heap_is_an_error(name: str, importing: Importing) -> None:
    change, reason = BAD_HEAPS[name]
    _check_refused(importing, _damaged_heap(importing, change), reason)


def test_text_of_absurd_length_takes_no_memory(importing: Importing) -> None:
    file = _damaged_heap(importing, lambda data, at: None)
    with h5py.File(file) as made:
        place = made["ids"].id.get_offset()
    data = bytearray(file.read_bytes())
    data[place : place + 4] = b"\xff\xff\xff\xff"
    _check_refused(importing, importing.write("a.hdf5", bytes(data)), "a text of 4294967295 bytes")


def test_a_metric_that_cannot_be_read_is_asked_for(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text lies in the same heap as the ids: the library would search that for ever."""
    monkeypatch.setattr("vdb.transfer.hdf5._METRIC_TIMEOUT_S", 1.5)
    file = importing.folder / "a.hdf5"
    with h5py.File(file, "w") as made:
        made["train"], made.attrs["distance"] = SMALL, "hamming"
    _check_refused(importing, file, "--metric names one")
    data = bytearray(file.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 24 : heap + 32] = bytes(8)
    importing.write("a.hdf5", bytes(data))
    _check_refused(importing, file, "--metric names one")
    assert importing.run(file, metric="l2").n_written == 3


def test_text_is_read_from_chunks_and_from_one_piece(importing: Importing) -> None:
    names = [f"é{i}" * (i % 40 + 1) for i in range(5_000)]
    for kind in ("chunks", "one piece", "one width"):
        file = importing.folder / "a.hdf5"
        with h5py.File(file, "w") as made:
            made["train"] = np.ones((5_000, 2), np.float32)
            if kind == "one width":
                made["ids"] = np.array([name.encode() for name in names])
            else:
                text, chunks = h5py.string_dtype(), (700,) if kind == "chunks" else None
                made.create_dataset("ids", data=names, dtype=text, chunks=chunks)
        assert importing.run(file, restart=True).n_written == 5_000
        assert set(importing.points()) == set(names)
        importing.drop()


def test_an_hdf5_that_is_damaged_within_says_what_was_imported(importing: Importing, rng: np.random.Generator) -> None:
    with h5py.File(importing.folder / "a.hdf5", "w") as file:
        data = rng.standard_normal((20_000, 8)).astype(np.float32)
        made = file.create_dataset("train", data=data, chunks=(2000, 8), compression="gzip", fletcher32=True)
        place = made.id.get_chunk_info(7)
    with (importing.folder / "a.hdf5").open("r+b") as raw:
        raw.seek(place.byte_offset + 100)
        raw.write(b"\xff" * 64)
    error = importing.error(importing.folder / "a.hdf5")
    assert "all up to row 14000 is imported" in error.detail
    assert len(importing.points()) == 14_000


BAD_PARQUET = {
    "empty": (b"", "cannot be read"),
    "cut off": (_table()[:-20], "cannot be read"),
    "a footer beyond the file": (_table()[:-8] + b"\xff\xff\xff\x7fPAR1", "cannot be read"),
    "a damaged footer": (_table()[:-200] + b"\xff" * 192 + _table()[-8:], "cannot be read"),
    "no vectors": (_table(vector=["a", "b", "c"]), "not a list of numbers"),
    "vectors of text": (_table(vector=[["a"], ["b"], ["c"]]), "not a list of numbers"),
    "bytes for a payload": (_table(raw=[b"a", b"b", b"c"]), "no payload holds"),
    "an absurd list": (
        _table(vector=arrow.nulls(3, arrow.list_(arrow.float32(), MAX_DIMENSION + 1))),
        "not taken",
    ),
}


@pytest.mark.parametrize("name", BAD_PARQUET)
def test_a_bad_parquet_is_refused(name: str, importing: Importing) -> None:
    data, reason = BAD_PARQUET[name]
    _check_refused(importing, importing.write("a.parquet", data), reason)


def test_a_parquet_whose_row_group_claims_absurd_rows_is_refused(importing: Importing) -> None:
    honest = _table()
    n_rows = b"\x06"  # 3 as a zigzag varint; its row group and its end both count them
    footer = honest[-8 - struct.unpack("<I", honest[-8:-4])[0] : -8]
    absurd = b"\x80\x80\x80\x80\x80\x80\x02"
    changed = footer.replace(b"\x16" + n_rows, b"\x16" + absurd)
    assert changed != footer
    body = honest[: len(honest) - 8 - len(footer)]
    file = importing.write("a.parquet", body + changed + struct.pack("<I", len(changed)) + b"PAR1")
    error = importing.error(file)
    assert "has 3 rows, though its end says" in error.detail and "all up to row 3 is imported" in error.detail
    assert len(importing.points()) == 3


PARQUET_BOMBS: dict[str, Callable[[], tuple[bytes, str]]] = {
    "a list without end": lambda: (
        _table(vector=arrow.ListArray.from_arrays([0, 2, 4, 5_000_000], arrow.array(np.zeros(5_000_000, np.float32)))),
        "numbers in 3 vectors",
    ),
    "text of one letter": lambda: (_table(text=[f"{i}" + "x" * 40_000_000 for i in range(3)]), "expands to more than"),
}


@pytest.mark.parametrize("name", PARQUET_BOMBS)
def test_a_parquet_bomb_is_refused(name: str, importing: Importing) -> None:
    data, reason = PARQUET_BOMBS[name]()
    assert len(data) < 10_000_000
    _check_refused(importing, importing.write("a.parquet", data), reason)


def test_a_gzip_bomb_stops_at_its_bound(importing: Importing) -> None:
    line = json.dumps({"id": "a", "vector": [1, 2]}) + " " * 1_000_000 + "\n"
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="wb", compresslevel=9) as zipped:
        for _ in range(100):
            zipped.write(line.encode())
    error = importing.error(importing.write("a.jsonl.gz", data.getvalue()))
    assert "expands to more than 200 times" in error.detail
    assert len(importing.points()) == 1


def test_a_bomb_of_one_line_stops_at_its_bound(importing: Importing) -> None:
    _check_refused(importing, importing.write("a.jsonl.gz", gzip.compress(b"[" * 10**8)), "expands to more than")


def test_a_gzip_that_is_cut_off_says_what_was_imported(importing: Importing, rng: np.random.Generator) -> None:
    rows = [{"id": str(i), "vector": v} for i, v in enumerate(rng.standard_normal((9_000, 3)).tolist())]
    zipped = gzip.compress("\n".join(map(json.dumps, rows)).encode())
    error = importing.error(importing.write("a.jsonl.gz", zipped[: len(zipped) // 2]))
    assert "cannot be read beyond line" in error.detail and "all up to line 4000 is imported" in error.detail
    assert len(importing.points()) == 4_000
    _refused_again = importing.error(importing.write("b.jsonl.gz", zipped[:40]))
    assert "cannot be read" in _refused_again.detail


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.npy", "a.npz", "a.hdf5", "a.parquet"])
def test_what_is_no_file_is_refused(name: str, importing: Importing) -> None:
    _check_refused(importing, importing.folder / name, "does not exist")
    (importing.folder / name).mkdir()
    _check_refused(importing, importing.folder / name, "is not a file")


def test_a_name_that_tells_no_format_is_refused(importing: Importing) -> None:
    _check_refused(importing, importing.write("a.csv", b"x"), "--format")
    _check_refused(importing, importing.write("a.npy.gz", b"x"), "--format")
    file = importing.write("rows.txt", '{"id": "a", "vector": [1]}')
    assert importing.run(file, file_format="jsonl").n_written == 1


def _check_refused(importing: Importing, file: Path, reason: str, fields: Fields | None = None) -> None:
    """The import fails with the reason, and writes nothing: no point, no collection, no file."""
    before, existed = {path.name for path in importing.folder.iterdir()}, importing.exists()
    points = importing.points() if existed else {}
    error = importing.error(file, fields)
    assert reason in error.detail, error.detail
    assert len(error.detail) < 500
    assert importing.exists() == existed and (not existed or importing.points().keys() == points.keys())
    assert {path.name for path in importing.folder.iterdir()} == before
