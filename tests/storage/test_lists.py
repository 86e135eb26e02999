"""Posting lists on disk: a generation is there whole or not at all, and no page is believed that is another one."""

import gc
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vdb.errors import CorruptData, DiskFull, InternalError
from vdb.storage import lists as module
from vdb.storage.env import Environment
from vdb.storage.list_pages import (
    HEAD_BYTES,
    MAGIC,
    N_WORDS,
    PAGE_AT,
    SUM_KEYS,
    VALUE_BYTES,
    Shape,
    check,
    packed,
    sums_of,
)
from vdb.storage.lists import VALUE_AT, Lists, Pages

SHAPE = Shape(104, 3)

UInt8s = NDArray[np.uint8]
UInt32s = NDArray[np.uint32]


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lists]:
    monkeypatch.setattr(module, "STEP_PAGES", 8)
    monkeypatch.setattr(module, "PLACES_PER_PART", 5)
    opened = Lists(tmp_path / "lists")
    yield opened
    opened.close()


def rows_of(n: int, shift: int = 0) -> tuple[UInt8s, list[UInt32s]]:
    """Rows that tell their number."""
    numbers = np.arange(shift, shift + n, dtype=np.uint32)
    codes = np.repeat((numbers % 251).astype(np.uint8)[:, None], SHAPE.row_bytes, axis=1)
    return codes, [numbers + np.uint32(i * 1_000_000) for i in range(SHAPE.n_columns)]


def written(lists: Lists, n: int, shift: int = 0, n_block: int = 100) -> int:
    writer = lists.writer(SHAPE)
    for first in range(0, n, n_block):
        writer.add(*rows_of(min(n_block, n - first), shift + first))
    return writer.finish()


def assert_holds(pages: Pages, n: int, shift: int = 0) -> None:
    codes, columns = pages.rows(0, n)
    wanted_codes, wanted = rows_of(n, shift)
    assert (codes == wanted_codes).all()
    assert all((found == column).all() for found, column in zip(columns, wanted, strict=True))


def place_of(lists: Lists, pages: Pages, page: int) -> int:
    return int(pages.places[page]) * 4096 + VALUE_AT


def damage(lists: Lists, at: int, data: bytes) -> None:
    with (lists.path / "data.mdb").open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_rows_come_back_in_their_order_from_anywhere(lists: Lists) -> None:
    n = 1_234
    pages = lists.open(written(lists, n))
    assert (pages.n_rows, pages.n_pages) == (n, SHAPE.n_pages(n))
    assert_holds(pages, n)
    codes, columns = pages.rows(700, 733)
    assert columns[0].tolist() == list(range(700, 733)) and codes[:, 0].tolist() == [i % 251 for i in range(700, 733)]


def test_the_last_page_is_short_and_others_are_full(lists: Lists) -> None:
    pages = lists.open(written(lists, SHAPE.n_rows + 1))
    values = pages.read(np.arange(2, dtype=np.uint32))
    assert [struct.unpack_from("<H", values[i].tobytes(), 14)[0] for i in (0, 1)] == [SHAPE.n_rows, 1]


def test_a_generation_of_no_rows_is_one(lists: Lists) -> None:
    pages = lists.open(written(lists, 0))
    assert (pages.n_rows, pages.n_pages, len(pages.rows(0, 0)[0])) == (0, 0, 0)


def test_codes_begin_at_a_multiple_of_64_in_memory(lists: Lists) -> None:
    pages = lists.open(written(lists, 500))
    assert pages.memory.ctypes.data % 4096 == 0 and (VALUE_AT + HEAD_BYTES) % 64 == 0
    heads = pages.memory[pages.places, VALUE_AT + 8 : VALUE_AT + 12]
    assert all(head.tobytes() == MAGIC for head in heads)


def test_what_is_open_outlives_the_environment_and_later_generations(lists: Lists) -> None:
    pages = lists.open(written(lists, 900))
    other = written(lists, 5_000, shift=7)
    assert_holds(pages, 900)
    assert_holds(lists.open(other), 5_000, 7)
    lists.close()
    assert_holds(pages, 900)
    lists.__init__(lists.path)  # type: ignore[misc]  # for the fixture to close


def test_a_generation_is_opened_once_for_all_who_hold_it(lists: Lists) -> None:
    generation = written(lists, 100)
    assert lists.open(generation) is lists.open(generation)


def test_a_generation_without_its_head_is_not_there_and_is_swept(lists: Lists) -> None:
    kept = written(lists, 300)
    writer = lists.writer(SHAPE)
    writer.add(*rows_of(8 * SHAPE.n_rows))  # is committed, for it fills a step
    assert lists.generations() == [kept]
    with pytest.raises(CorruptData, match="no generation"):
        lists.open(writer.generation)
    assert lists.sweep(kept) and lists.generations() == [kept]
    assert_holds(lists.open(kept), 300)


def test_numbers_ascend_also_past_what_was_dropped_and_past_a_restart(lists: Lists, tmp_path: Path) -> None:
    first = written(lists, 10)
    assert lists.drop(first)
    second = written(lists, 10)
    lists.close()
    lists.__init__(lists.path)  # type: ignore[misc]
    assert first < second < written(lists, 10)
    other = Lists(tmp_path / "other")
    assert written(other, 10) not in (first, second)
    other.close()


def test_a_generation_that_somebody_holds_is_not_removed(lists: Lists) -> None:
    first, second = written(lists, 2_000), written(lists, 2_000, 5)
    pages = lists.open(first)
    assert not lists.drop(first) and not lists.sweep(second)
    assert_holds(pages, 2_000)
    del pages
    gc.collect()
    assert lists.sweep(second) and lists.generations() == [second]


def test_room_of_a_removed_generation_is_used_again(lists: Lists) -> None:
    generation = written(lists, 20_000)
    written_bytes = []
    for _ in range(6):
        following = written(lists, 20_000)
        assert lists.drop(generation)
        generation = following
        written_bytes.append(lists.file_bytes)
    assert written_bytes[-1] <= 1.2 * written_bytes[0], f"the file grew: {written_bytes}"


@pytest.mark.parametrize("at", [0, 9, 14, 20, PAGE_AT, HEAD_BYTES + 5, 2_000, VALUE_BYTES - 1])
def test_a_page_with_a_wrong_byte_is_not_served(lists: Lists, at: int) -> None:
    pages = lists.open(written(lists, 900))
    place = place_of(lists, pages, 3) + at
    byte = (lists.path / "data.mdb").read_bytes()[place]
    damage(lists, place, bytes((byte ^ 0x40,)))
    assert len(pages.read(np.array([2, 4], np.uint32))) == 2
    with pytest.raises(CorruptData, match="page 3"):
        pages.read(np.array([2, 3, 4], np.uint32))


def test_a_torn_page_is_not_served(lists: Lists) -> None:
    pages = lists.open(written(lists, 900))
    damage(lists, place_of(lists, pages, 5) + 2_048, bytes(512))
    with pytest.raises(CorruptData, match="page 5"):
        pages.rows(0, 900)


def test_a_sound_page_in_place_of_another_is_not_served(lists: Lists) -> None:
    first, second = written(lists, 900), written(lists, 900, 3)
    old, new = lists.open(first), lists.open(second)
    value = old.read(np.array([4], np.uint32)).tobytes()
    damage(lists, place_of(lists, new, 4), value)  # of another generation
    damage(lists, place_of(lists, old, 6), value)  # of another number
    for pages, page in ((new, 4), (old, 6)):
        with pytest.raises(CorruptData, match=f"page {page} "):
            pages.read(np.array([page], np.uint32))


@pytest.mark.parametrize("space", [0x90, 0x91])
def test_a_damaged_head_or_table_of_places_is_noticed(lists: Lists, space: int) -> None:
    generation = written(lists, 900)
    with lists._env.write() as txn:
        key = module._keys(txn, module._OF_GENERATION.pack(space, generation), 1)[0]
        value = bytearray(txn.get(key))
        value[-1] ^= 1
        txn.put(key, bytes(value))
    with pytest.raises(CorruptData):
        lists.open(generation)


def test_places_beyond_the_file_are_noticed_before_they_are_read(lists: Lists) -> None:
    writer = lists.writer(SHAPE)
    writer.add(*rows_of(10))
    writer._write(10)
    writer._places = [np.array([1 << 30], np.uint32)]
    with pytest.raises(CorruptData, match="not in its file"):
        lists.open(writer.finish())


def test_a_file_that_is_no_environment_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"x" * 8192)
    with pytest.raises(CorruptData):
        Lists(folder)


@pytest.mark.parametrize("n_bytes", [0, 5_000, 8_192, 9_000, 13_000, 30_000])
def test_a_file_that_was_cut_short_is_noticed(tmp_path: Path, n_bytes: int) -> None:
    """Reading it ended the process."""
    made = Lists(tmp_path / "short")
    written(made, 100)
    made.close()
    os.truncate(made.path / "data.mdb", n_bytes)
    with pytest.raises(CorruptData):
        Lists(made.path)


def test_another_format_is_refused(lists: Lists) -> None:
    with lists._env.write() as txn:
        txn.put(b"\x01format", struct.pack("<I", 2))
    lists.close()
    with pytest.raises(CorruptData, match="format"):
        lists.__init__(lists.path)  # type: ignore[misc]
    with_old = Environment(lists.path, map_bytes=1 << 20, max_map_bytes=1 << 20)
    with with_old.write() as txn:
        txn.put(b"\x01format", struct.pack("<I", 1))
    with_old.close()
    lists.__init__(lists.path)  # type: ignore[misc]


def test_pages_are_hinted_and_read_alike(lists: Lists) -> None:
    pages = lists.open(written(lists, 900))
    chosen = np.array([7, 1, 3], np.uint32)
    before = pages.read(chosen)
    pages.hint(chosen)
    assert (pages.read(chosen) == before).all()


def test_rows_that_do_not_fit_the_shape_are_refused() -> None:
    codes, columns = rows_of(3)
    for wrong in ((codes[:, :-1], columns), (codes, columns[:-1]), (codes, [column[:-1] for column in columns])):
        with pytest.raises(InternalError):
            packed(SHAPE, 1, 0, *wrong)
    with pytest.raises(InternalError):
        Shape(4_100, 1)


def test_the_checksum_is_nh_as_its_definition_has_it(rng: np.random.Generator) -> None:
    value = rng.integers(0, 256, VALUE_BYTES, dtype=np.uint8)
    words = struct.unpack(f"<{N_WORDS}I", value[8:].tobytes())
    keys, half, total = SUM_KEYS.tolist(), N_WORDS // 2, 0
    for i in range(half):
        total += ((words[i] + keys[i]) % 2**32) * ((words[half + i] + keys[half + i]) % 2**32)
    assert int(sums_of(value[None])[0]) == total % 2**64


def test_a_page_of_zeros_is_no_page() -> None:
    with pytest.raises(CorruptData):
        check(np.zeros((1, VALUE_BYTES), np.uint8), SHAPE, 0, np.zeros(1, np.uint32), 5)


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from vdb.storage import lists as module
from vdb.storage.env import Environment
from vdb.storage.list_pages import Shape
module.STEP_PAGES = 4
lists = module.Lists(Path(sys.argv[1]))
n_left = int(sys.argv[2])
commit = module.Lists._commit
def counted(*args, **kwargs):
    global n_left
    if n_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    n_left -= 1
    commit(*args, **kwargs)
module.Lists._commit = counted
old = lists.generations()
writer = lists.writer(Shape(104, 3))
for first in range(0, 600, 100):
    numbers = np.arange(first, first + 100, dtype=np.uint32)
    codes = np.repeat((numbers % 251).astype(np.uint8)[:, None], 104, axis=1)
    writer.add(codes, [numbers + np.uint32(i * 1_000_000) for i in range(3)])
new = writer.finish()
for generation in old:
    lists.drop(generation)
print("done")
"""


def test_killed_between_any_two_commits_the_old_or_the_new_generation_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    first = Lists(folder)
    written(first, 600)
    first.close()
    was_done = False
    for n_commits in range(40):
        run = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(n_commits)], capture_output=True, text=True
        )
        was_done = run.returncode == 0
        assert was_done or run.returncode == -signal.SIGKILL, run.stderr
        found = Lists(folder)
        whole = found.generations()
        assert whole, f"after {n_commits} commits there is no whole generation"
        for generation in whole:
            assert_holds(found.open(generation), 600)
        assert found.sweep(whole[-1]) and found.generations() == whole[-1:]
        found.close()
        if was_done:
            break
    assert was_done and os.path.exists(folder / "data.mdb")


def test_a_commit_that_fails_has_the_environment_opened_anew(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB takes no commit any more after one that failed half-way: folds would fail until the next start."""
    pages = lists.open(written(lists, 50))
    write, refused = Environment.write, lists._env._env

    @contextmanager
    def fails(env: Environment) -> Iterator[Any]:
        if env._env is refused:
            raise DiskFull("the disk is full")
        with write(env) as txn:
            yield txn

    monkeypatch.setattr(Environment, "write", fails)
    with pytest.raises(DiskFull):
        lists.writer(SHAPE)
    assert_holds(lists.open(written(lists, 70, 3)), 70, 3)
    assert_holds(pages, 50)
