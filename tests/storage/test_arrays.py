"""Array files: what is saved is loaded, and nothing else is: no damage is believed, no number taken on trust."""

import errno
import os
import stat
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import CorruptData, DiskFull, InternalError, StorageFailure
from vdb.storage import arrays as module
from vdb.storage.arrays import DTYPES, MAX_ITEMS, PAGE_BYTES, load_arrays, save_arrays, sweep_drafts

HEAD = {"sequence": 7, "name": "é", "tree": {"sizes": [1, 2]}}
ARRAYS: dict[str, Any] = {
    "codes": np.arange(-60, 60, dtype=np.int8).reshape(10, 12),
    "norms": np.linspace(0, 1, 2000, dtype=np.float32),
    "none": np.empty((0, 5), np.uint32),
    "one": np.array(3.5),
    "flags": np.array([True, False, True]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.arrays"


@pytest.fixture
def saved(path: Path) -> Path:
    save_arrays(path, HEAD, ARRAYS)
    return path


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype.newbyteorder("<") and found[name].shape == array.shape
        assert found[name].tobytes() == np.asarray(array, found[name].dtype, order="C").tobytes()


def test_a_file_reads_back_into_memory_of_its_own(saved: Path) -> None:
    head, found = load_arrays(saved)
    assert head == HEAD
    assert_same(found, ARRAYS)
    saved.unlink()
    for array in found.values():
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = 0


def test_only_what_is_asked_for_is_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(saved.read_bytes())
    data[PAGE_BYTES] ^= 1  # the first array
    saved.write_bytes(data)
    assert_same(load_arrays(saved, ["one", "norms"])[1], {name: ARRAYS[name] for name in ("one", "norms")})
    assert load_arrays(saved, []) == (HEAD, {})
    with pytest.raises(CorruptData, match="damaged array codes"):
        load_arrays(saved)
    with pytest.raises(CorruptData, match="has no array other"):
        load_arrays(saved, ["one", "other"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 5), max_size=3), st.booleans(), st.booleans()
        ),
        max_size=4,
    ),
    st.integers(0, 2**32),
)
def test_every_plain_type_and_layout_reads_back(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[str, list[int], bool, bool]], seed: int
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "x"
    rng = np.random.default_rng(seed)
    arrays = {}
    for i, (dtype, shape, is_big_endian, is_fortran) in enumerate(shapes):
        plain = rng.integers(0, 2, shape).astype(dtype)
        turned = plain.astype(plain.dtype.newbyteorder(">")) if is_big_endian else plain
        arrays[f"{i}é"] = np.asfortranarray(turned) if is_fortran and shape else turned
    save_arrays(path, {}, arrays)
    assert_same(load_arrays(path)[1], arrays)


def test_arrays_lie_at_pages_and_the_file_is_the_owners_alone(saved: Path) -> None:
    data = saved.read_bytes()
    assert data[PAGE_BYTES : PAGE_BYTES + 120] == ARRAYS["codes"].tobytes()
    assert data[2 * PAGE_BYTES : 2 * PAGE_BYTES + 8000] == ARRAYS["norms"].tobytes()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


@pytest.mark.parametrize("n_names", [0, 1, 60, 1000])
def test_a_head_may_take_several_pages(path: Path, n_names: int) -> None:
    arrays = {f"{'n' * 40}{i}": np.array([i]) for i in range(n_names)}
    save_arrays(path, {"x": "y" * (4096 - 100)}, arrays)
    head, found = load_arrays(path)
    assert (len(head["x"]), {name: int(array[0]) for name, array in found.items()}) == (
        3996, {name: i for i, name in enumerate(arrays)},
    )  # fmt: skip


def test_a_file_replaces_the_one_before(saved: Path) -> None:
    save_arrays(saved, {}, {"a": np.zeros(3)})
    assert list(load_arrays(saved)[1]) == ["a"]
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array(["text"]), np.array([1j]), np.zeros(1, "i4,f4"), np.zeros((1,) * 9)]
)
def test_what_is_no_plain_array_is_not_saved(path: Path, array: Any) -> None:
    with pytest.raises(InternalError, match="cannot be stored"):
        save_arrays(path, {}, {"a": array})
    assert list(path.parent.iterdir()) == []


def test_a_head_beyond_the_bound_is_not_saved(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HEAD_BYTES", 100)
    with pytest.raises(InternalError, match="a head of"):
        save_arrays(path, {"x": "y" * 100}, {})


# Absent, and not to be read or written


def test_a_file_that_is_not_there_is_absent_and_not_corrupt(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_arrays(path)


def test_what_cannot_be_read_or_written_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageFailure, match="cannot be read"):
        load_arrays(tmp_path / "folder")
    with pytest.raises(StorageFailure, match="cannot be written"):
        save_arrays(tmp_path / "missing" / "x", {}, ARRAYS)


@pytest.mark.parametrize("step", ["ftruncate", "fsync"])
@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, None)])
def test_a_write_that_fails_leaves_the_file_before(
    saved: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, error: type[StorageFailure] | None
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched, pytest.raises(StorageFailure) as raised:
        patched.setattr(os, step, fail)
        save_arrays(saved, {}, {"a": np.zeros(3)})
    assert type(raised.value) is (error or StorageFailure)
    assert load_arrays(saved)[0] == HEAD
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_disk_that_fills_up_in_the_middle_is_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)  # a device has no length
    path.with_name(path.name + ".draft").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="cannot be written"):
        save_arrays(path, HEAD, ARRAYS)
    assert not path.exists()


def test_a_writer_that_is_killed_leaves_a_draft_that_is_swept(saved: Path) -> None:
    code = (
        "import os, signal, sys, numpy; from pathlib import Path; from vdb.storage import arrays\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "arrays.save_arrays(Path(sys.argv[1]), {}, {'a': numpy.zeros(9)})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(saved)], check=False).returncode == -9
    assert sorted(entry.name for entry in saved.parent.iterdir()) == ["x.arrays", "x.arrays.draft"]
    assert load_arrays(saved)[0] == HEAD
    assert (sweep_drafts(saved.parent), sweep_drafts(saved.parent)) == (1, 0)
    assert load_arrays(saved)[0] == HEAD
    assert sweep_drafts(saved.parent / "missing") == 0


# Damage


def outcome(path: Path) -> Any:
    """What loading gives: the arrays' bytes, or the name of an error of ours."""
    try:
        head, found = load_arrays(path)
    except CorruptData:
        return "corrupt"
    return head, {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in found.items()}


def test_damage_is_found_or_harmless(saved: Path, rng: np.random.Generator) -> None:
    whole, expected = saved.read_bytes(), outcome(saved)
    n_corrupt = 0
    tracemalloc.start()
    for _ in range(500):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), int(rng.integers(1, 4))) // int(rng.choice([1, 16, 100])):
            data[position] ^= int(rng.integers(1, 256))
        saved.write_bytes(data)
        found = outcome(saved)
        n_corrupt += found == "corrupt"
        assert found in (expected, "corrupt")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_corrupt > 250 and peak_bytes < 1 << 20


def test_every_byte_of_the_head_is_watched(saved: Path) -> None:
    whole = saved.read_bytes()
    n_head = 32 + int.from_bytes(whole[12:16], "little")
    for position in range(n_head):
        saved.write_bytes(whole[:position] + bytes((whole[position] ^ 1,)) + whole[position + 1 :])
        assert outcome(saved) == "corrupt", position


def test_a_file_cut_short_or_lengthened_is_corrupt(saved: Path, rng: np.random.Generator) -> None:
    whole = saved.read_bytes()
    for n_bytes in [*range(40), *rng.integers(40, len(whole), 300).tolist(), len(whole) - 1]:
        saved.write_bytes(whole[:n_bytes])
        assert outcome(saved) == "corrupt", n_bytes
    saved.write_bytes(whole + b"\0")
    assert outcome(saved) == "corrupt"


def place(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "dtype": "<f4", "shape": [2], "at": PAGE_BYTES, "checksum": crc32(b"\0" * 8)} | fields


def forged(*places: dict[str, Any], n_bytes: int = PAGE_BYTES + 8, head: object = None, **top: Any) -> bytes:
    """A file of zeros whose head says this, every checksum of it right."""
    text = msgspec.json.encode({"head": head or {}, "arrays": places} | top)
    fixed = struct.pack("<8sIIQI", b"vdbarray", 1, len(text), n_bytes, crc32(text))
    return (fixed + struct.pack("<I", crc32(fixed)) + text).ljust(n_bytes, b"\0")


def test_a_forged_file_that_is_right_is_read(path: Path) -> None:
    path.write_bytes(forged(place()))
    assert load_arrays(path)[1]["a"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "forgery",
    [
        forged(place(shape=[1 << 62])),
        forged(place(shape=[1 << 40, 1 << 40])),
        forged(place(shape=[10**30])),
        forged(place(shape=[0, MAX_ITEMS + 1])),
        forged(place(shape=[-2])),
        forged(place(shape=[-1, -2])),
        forged(place(shape=[1] * 9)),
        forged(place(shape=[3])),
        forged(place(shape=[1])),
        forged(place(shape="2")),
        forged(place(shape=[2.5])),
        forged(place(dtype="|O")),
        forged(place(dtype="<f16")),
        forged(place(dtype="i4,i4")),
        forged(place(at=0)),
        forged(place(at=PAGE_BYTES - 1)),
        forged(place(at=2 * PAGE_BYTES)),
        forged(place(at=-PAGE_BYTES)),
        forged(place(checksum=1)),
        forged(place(more=1)),
        forged(place(), place()),
        forged(place(), place(name="b")),
        forged(n_bytes=PAGE_BYTES + 8),
        forged(place(), head=[1]),
        forged(place(), arrays=None),
        forged(place(), other=1),
        forged(place()) + b"\0",
    ],
)
def test_a_head_that_lies_is_corrupt_though_its_checksums_are_right(path: Path, forgery: bytes) -> None:
    path.write_bytes(forgery)
    with pytest.raises(CorruptData):
        load_arrays(path)


def test_an_empty_array_of_great_width_is_read(path: Path) -> None:
    path.write_bytes(forged(place(shape=[0, MAX_ITEMS], checksum=0), n_bytes=PAGE_BYTES))
    assert load_arrays(path)[1]["a"].shape == (0, MAX_ITEMS)


def test_a_layout_of_a_later_release_is_said_to_be_one(saved: Path) -> None:
    fixed = bytearray(saved.read_bytes())
    fixed[8] = 2
    fixed[28:32] = struct.pack("<I", crc32(fixed[:28]))
    saved.write_bytes(fixed)
    with pytest.raises(CorruptData, match="layout 2, which this release does not read"):
        load_arrays(saved)


def test_a_file_that_shrinks_while_it_is_read_is_corrupt(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check: Callable[..., None] = module._check_places

    def shrink(*given: Any) -> None:
        check(*given)
        os.truncate(saved, PAGE_BYTES + 10)

    monkeypatch.setattr(module, "_check_places", shrink)
    with pytest.raises(CorruptData, match="became shorter"):
        load_arrays(saved)
