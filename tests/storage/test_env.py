"""One environment: transactions, growth of the map under load, closing, and the errors LMDB becomes."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from vdb.config import MIB
from vdb.errors import CorruptData, DiskFull, StorageFailure
from vdb.storage import env as module
from vdb.storage.codec import FORMAT_VERSION
from vdb.storage.create import create_environment
from vdb.storage.env import Environment, Gate, MapFull
from vdb.storage.keyspace import META_COLLECTION, META_FORMAT
from vdb.storage.meta import read_number

SIZES: dict[str, Any] = {"map_bytes": MIB, "max_map_bytes": 64 * MIB}


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    """A new environment; its first map has the size of its file and 16 MiB."""
    made = Environment(tmp_path, create=True, **SIZES)
    yield made
    made.close()


def fill(env: Environment, n: int, size: int = 512 * 1024) -> None:
    for i in range(n):
        while True:
            try:
                with env.write() as txn:
                    txn.put(b"%06d" % i, b"x" * size)
                break
            except MapFull:
                assert env.grow()


def test_a_write_is_undone_when_its_block_raises(env: Environment) -> None:
    with pytest.raises(KeyError), env.write() as txn:
        txn.put(b"a", b"1")
        raise KeyError
    with env.read() as txn:
        assert txn.get(b"a") is None


def test_a_savepoint_undoes_its_own_writes_only(env: Environment) -> None:
    with env.write() as txn:
        txn.put(b"a", b"1")
        with pytest.raises(KeyError), env.savepoint(txn) as child:
            child.put(b"b", b"2")
            raise KeyError
        with env.savepoint(txn) as child:
            child.put(b"c", b"3")
    with env.read() as txn:
        assert [txn.get(key) for key in (b"a", b"b", b"c")] == [b"1", None, b"3"]


def test_a_read_goes_on_seeing_its_moment(env: Environment) -> None:
    with env.read() as before:
        with env.write() as txn:
            txn.put(b"a", b"1")
        assert before.get(b"a") is None
    with env.read() as after:
        assert after.get(b"a") == b"1"


def test_the_map_grows_under_concurrent_readers(env: Environment) -> None:
    stop = threading.Event()
    n_reads = [0] * 4

    def read(i: int) -> None:
        while not stop.is_set():
            with env.read() as txn:
                assert all(len(value) == 512 * 1024 for _, value in txn.cursor())
            n_reads[i] += 1
            stop.wait(0.001)  # threads that only iterate keep the interpreter from the writer

    readers = [threading.Thread(target=read, args=(i,), daemon=True) for i in range(4)]
    for reader in readers:
        reader.start()
    first = env.map_bytes
    fill(env, 50)
    stop.set()
    for reader in readers:
        reader.join()
    assert env.map_bytes > first and all(n_reads)


def test_the_map_stops_at_its_cap_and_grows_beyond_it_by_an_allowance_only(tmp_path: Path) -> None:
    env = Environment(tmp_path, create=True, map_bytes=MIB, max_map_bytes=20 * MIB)
    assert env.grow() and env.map_bytes == 20 * MIB
    assert not env.grow()
    assert env.grow(4 * MIB) and env.map_bytes == 24 * MIB
    assert not env.grow(4 * MIB)
    env.close()


def test_past_the_cap_there_is_room_for_as_much_as_was_deleted(tmp_path: Path) -> None:
    env = Environment(tmp_path, create=True, map_bytes=MIB, max_map_bytes=20 * MIB)
    fill(env, 36)
    assert env.has_room(1 << 30), "below the cap the map itself says when it is full"
    env.grow()
    assert env.grow(8 * MIB) and not env.has_room(4 * MIB)
    with env.write() as txn:
        for i in range(20):
            txn.delete(b"%06d" % i)
    assert env.has_room(4 * MIB)
    env.close()


def test_growing_waits_for_transactions_and_holds_newcomers_back(env: Environment) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def read() -> None:
        with env.read():
            inside.set()
            leave.wait()
            order.append("read")

    reader = threading.Thread(target=read)
    reader.start()
    inside.wait()

    def grow() -> None:
        env.grow()
        order.append("grown")

    grower = threading.Thread(target=grow)
    grower.start()
    leave.set()
    reader.join()
    grower.join()
    assert order == ["read", "grown"]


def test_a_gate_lets_one_alone_in_at_a_time() -> None:
    gate, alone, most = Gate(), [0], [0]

    def enter() -> None:
        for _ in range(50):
            with gate.exclusive():
                alone[0] += 1
                most[0] = max(most[0], alone[0])
                alone[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_an_environment_opens_again_after_a_failed_commit(env: Environment) -> None:
    fill(env, 1)
    env.reopen()
    with env.read() as txn:
        assert txn.get(b"000000") is not None


def test_a_read_only_environment_leaves_no_trace(tmp_path: Path) -> None:
    create_environment(tmp_path / "e", **SIZES, collection_id=3)
    (tmp_path / "e" / "lock.mdb").unlink()
    env = Environment(tmp_path / "e", read_only=True, **SIZES)
    with env.read() as txn:
        assert read_number(txn, META_COLLECTION) == 3
    with pytest.raises(StorageFailure), env.write() as txn:
        txn.put(b"a", b"1")
    env.close()
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["data.mdb"]


def test_a_copy_is_compact_and_complete(env: Environment, tmp_path: Path) -> None:
    fill(env, 8)
    with env.write() as txn:
        for i in range(7):
            txn.delete(b"%06d" % i)
    (tmp_path / "copy").mkdir()
    env.copy_to(tmp_path / "copy")
    copy = Environment(tmp_path / "copy", **SIZES)
    with copy.read() as txn:
        assert [key for key, _ in txn.cursor()] == [b"000007"]
    assert copy.used_bytes < env.used_bytes / 4
    copy.close()


def test_a_file_that_is_no_environment_is_corrupt_data(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not LMDB" * 1024)
    with pytest.raises(CorruptData):
        Environment(tmp_path, **SIZES)


def test_a_missing_environment_is_a_storage_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        Environment(tmp_path / "nowhere", **SIZES)


def test_a_closed_environment_raises_our_own_error(tmp_path: Path) -> None:
    env = Environment(tmp_path, create=True, **SIZES)
    env.close()
    with pytest.raises(StorageFailure), env.read():
        pytest.fail("a closed environment was read")


def test_an_error_on_a_disk_without_space_is_a_full_disk(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_disk_bytes", lambda _: 0)
    with pytest.raises(DiskFull), env.write():
        raise lmdb.Error("input/output error")


def test_an_environment_comes_into_being_whole(tmp_path: Path) -> None:
    draft = tmp_path / "e.draft"
    draft.mkdir()
    (draft / "data.mdb").write_bytes(b"half made")
    create_environment(tmp_path / "e", **SIZES)
    assert not draft.exists()
    env = Environment(tmp_path / "e", **SIZES)
    with env.read() as txn:
        assert read_number(txn, META_FORMAT) == FORMAT_VERSION
    env.close()
