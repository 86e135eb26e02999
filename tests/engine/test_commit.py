"""Group commit: one transaction for all that wait, each request all or nothing, numbers without gaps."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from vdb.config import MIB, Limits
from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.errors import InternalError, QueueFull, ShuttingDown, StorageFailure, VersionConflict
from vdb.storage.check import check_directory
from vdb.storage.env import Environment

CAPS = QueueCaps(max_requests=100, max_bytes=1000, disk_reserve_bytes=0)


class Queue:
    """A commit queue whose writer waits until `release`, so that requests pile up into one group."""

    def __init__(self, path: Path, caps: QueueCaps = CAPS) -> None:
        self.env = Environment(path, create=True, map_bytes=MIB, max_map_bytes=64 * MIB)
        self.pool = ThreadPoolExecutor(1)
        self.queue: CommitQueue[Group] = CommitQueue(self.env, Group, self.pool, caps, lambda: None)
        self._gate = threading.Event()
        self.pool.submit(self._gate.wait)

    def put(
        self, key: bytes, error: Exception | None = None, n_bytes: int = 1, tenant: int = 0, n_points: int = 0
    ) -> "Future[Any]":
        def apply(group: Group) -> bytes:
            group.txn.put(key, b"1")
            if error is not None:
                raise error
            return key

        return self.queue.submit(apply, n_bytes, tenant=tenant, n_points=n_points)

    def await_writer(self) -> None:
        """Until the writer has nothing left to do."""
        self.pool.submit(lambda: None).result(20)

    def release(self) -> None:
        self._gate.set()

    def keys(self) -> list[bytes]:
        with self.env.read() as txn:
            return [key for key, _ in txn.cursor()]

    def close(self) -> None:
        self.release()
        self.queue.close()
        self.pool.shutdown()
        self.env.close()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path)
    yield made
    made.close()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes")
        yield made


def test_requests_that_wait_share_one_commit(queue: Queue) -> None:
    futures = [queue.put(b"%03d" % i) for i in range(20)]
    assert queue.keys() == []
    queue.release()
    assert [future.result(10) for future in futures] == [b"%03d" % i for i in range(20)]
    assert (queue.queue.n_commits, queue.queue.n_requests) == (1, 20)


def test_a_refusal_undoes_only_itself(queue: Queue) -> None:
    good, refused, broken, last = (
        queue.put(b"a"), queue.put(b"b", VersionConflict()), queue.put(b"c", ZeroDivisionError()), queue.put(b"d"),
    )  # fmt: skip
    queue.release()
    assert (good.result(10), last.result(10)) == (b"a", b"d")
    assert isinstance(refused.exception(10), VersionConflict) and isinstance(broken.exception(10), InternalError)
    assert queue.keys() == [b"a", b"d"]


def test_a_failed_commit_fails_everything_in_it_and_the_next_one_works(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    futures = [queue.put(b"a"), queue.put(b"b")]

    def fail(group: Group) -> None:
        raise StorageFailure("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Group, "close", fail)
        queue.release()
        assert all(isinstance(future.exception(10), StorageFailure) for future in futures)
    assert queue.put(b"c").result(10) == b"c" and queue.keys() == [b"c"]


def test_nothing_is_published_that_is_not_committed(queue: Queue) -> None:
    seen: list[str] = []

    def apply(group: Group) -> None:
        group.after_commit(lambda: seen.append(f"published with {len(queue.keys())} keys"))
        group.on_undo(lambda: seen.append("undone"))
        group.txn.put(b"%d" % len(seen), b"1")

    def refuse(group: Group) -> None:
        apply(group)
        raise VersionConflict

    refused, good = queue.queue.submit(refuse), queue.queue.submit(apply)
    queue.release()
    good.result(10)
    assert refused.exception(10) and seen == ["undone", "published with 1 keys"]


def test_a_full_queue_refuses_at_once_by_number_and_by_bytes(tmp_path: Path) -> None:
    queue = Queue(tmp_path, QueueCaps(max_requests=3, max_bytes=1000, disk_reserve_bytes=0))
    futures = [queue.put(b"%d" % i) for i in range(3)]
    with pytest.raises(QueueFull) as refused:
        queue.put(b"x")
    assert refused.value.retry_after_s
    queue.release()
    assert [future.result(10) for future in futures] == [b"0", b"1", b"2"]
    assert queue.put(b"y").result(10) == b"y"
    queue.close()


def test_a_queue_is_full_by_bytes_until_they_are_written(queue: Queue) -> None:
    queue.put(b"a", n_bytes=900)
    with pytest.raises(QueueFull):
        queue.put(b"b", n_bytes=200)
    queue.put(b"c", n_bytes=100)


def test_closing_commits_what_waits_and_refuses_the_rest(queue: Queue) -> None:
    future = queue.put(b"a")
    closer = threading.Thread(target=queue.queue.close)
    closer.start()
    queue.release()
    closer.join()
    assert future.result(0) == b"a"
    with pytest.raises(ShuttingDown):
        queue.put(b"b")


def test_a_cancelled_request_is_not_written(queue: Queue) -> None:
    cancelled, kept = queue.put(b"a"), queue.put(b"b")
    assert cancelled.cancel()
    queue.release()
    kept.result(10)
    assert queue.keys() == [b"b"]


def test_sequences_have_no_gaps_though_requests_are_refused(driver: Driver) -> None:
    futures = [
        driver.queue_upsert("acme", "notes", [f"p{i}"], [[i, i]], if_version=[99] if i % 3 == 0 else [None])
        for i in range(60)
    ]
    outcomes = [future.exception(10) or future.result().sequence for future in futures]
    sequences = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert sequences == list(range(1, 41)) and all(isinstance(o, VersionConflict) for o in outcomes[::3])


def test_concurrent_writers_lose_nothing_and_split_nothing(driver: Driver, tmp_path: Path) -> None:
    def write(w: int) -> None:
        for i in range(15):
            driver.upsert(f"t{w % 2}", "notes", [f"w{w}-{i}-{j}" for j in range(3)], np.full((3, 2), w))

    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(driver.count("t0", "notes"))
            stop.wait(0.001)

    driver.upsert("t0", "notes", ["first"])
    threads = [threading.Thread(target=write, args=(w,)) for w in range(6)]
    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert (driver.count("t0", "notes"), driver.count("t1", "notes")) == (136, 135)
    assert seen == sorted(seen) and all(n % 3 == 1 for n in seen), "a request was seen in part"
    driver.engine.close()
    assert check_directory(tmp_path / "data") == []
    driver.engine = type(driver.engine).open(driver.engine.settings)


def test_the_map_grows_while_searches_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.integers(-5, 5, (60, 1024)).astype(np.float32)
    with opened(tmp_path / "data") as driver:
        driver.create("notes", dimension=1024)
        stop, errors = threading.Event(), list[BaseException]()

        def search() -> None:
            try:
                while not stop.is_set():
                    driver.search("acme", "notes", vectors[0], limit=5)
                    stop.wait(0.001)
            except BaseException as exc:
                errors.append(exc)

        driver.upsert("acme", "notes", ["first"], vectors[:1])
        shard = driver.engine._shards.open_shards()[0]
        before = shard.env.map_bytes
        searchers = [threading.Thread(target=search) for _ in range(3)]
        for searcher in searchers:
            searcher.start()
        for i in range(120):
            driver.upsert("acme", "notes", [f"p{i}-{j}" for j in range(60)], vectors)
        stop.set()
        for searcher in searchers:
            searcher.join()
        assert not errors and shard.env.map_bytes > before
        assert driver.count("acme", "notes") == 7201


def test_limits_of_the_queue_reach_the_engine(tmp_path: Path) -> None:
    with opened(tmp_path / "data", limits=Limits(max_queued_requests=1), n_writers=1) as driver:
        driver.create("notes")
        driver.create_tenant("acme")
        gate = threading.Event()
        driver.engine._writers.submit(gate.wait)
        waiting = driver.queue_upsert("acme", "notes", ["a"])
        with pytest.raises(QueueFull):
            driver.queue_upsert("acme", "notes", ["b"])
        gate.set()
        waiting.result(10)
        assert driver.ids("acme", "notes") == ["a"]


def test_a_held_queue_commits_nothing_until_it_is_resumed(queue: Queue) -> None:
    queue.release()
    first = queue.put(b"first")
    queue.queue.hold()
    queue.queue.await_stillness()
    second = queue.put(b"second")
    queue.await_writer()
    stored = queue.keys()
    assert not second.done() and b"second" not in stored
    queue.queue.resume()
    assert (first.result(20), second.result(20)) == (b"first", b"second")


def test_closing_a_held_queue_waits_for_what_it_holds(queue: Queue) -> None:
    queue.release()
    queue.queue.hold()
    waiting = queue.put(b"waiting")
    closing = threading.Thread(target=queue.queue.close)
    closing.start()
    queue.queue.resume()
    closing.join(20)
    assert waiting.result(0) == b"waiting"


def test_tenants_take_turns_in_a_commit_by_what_they_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.engine.commit.GROUP_REQUESTS", 4)
    queue = Queue(tmp_path, QueueCaps(max_requests=100, max_bytes=1 << 30, disk_reserve_bytes=0))
    order: list[bytes] = []

    def put(tenant: int, name: bytes) -> None:
        queue.put(name, tenant=tenant).add_done_callback(lambda _: order.append(name))

    for _ in range(9):
        put(1, b"noisy")
    for _ in range(2):
        put(2, b"quiet")
    queue.release()
    queue.await_writer()
    queue.close()
    assert order[:4] == [b"noisy", b"quiet", b"noisy", b"quiet"] and len(order) == 11


def test_many_points_cost_turns_as_bytes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.engine.commit.GROUP_REQUESTS", 1)
    queue = Queue(tmp_path, QueueCaps(max_requests=100, max_bytes=1 << 30, disk_reserve_bytes=0))
    order: list[str] = []

    def put(tenant: int, name: str, n_points: int) -> None:
        queue.put(b"k", tenant=tenant, n_points=n_points).add_done_callback(lambda _: order.append(name))

    for _ in range(3):
        put(1, "deletes", 40)
        put(2, "small", 0)
    queue.close()
    assert order == ["deletes", "small", "small", "small", "deletes", "deletes"]


def test_one_tenant_cannot_fill_the_queue(tmp_path: Path) -> None:
    queue = Queue(tmp_path, QueueCaps(max_requests=10, max_bytes=1000, disk_reserve_bytes=0))
    futures = [queue.put(b"%d" % i, tenant=1) for i in range(5)]
    with pytest.raises(QueueFull):
        queue.put(b"x", tenant=1)
    futures += [queue.put(b"y", tenant=2), queue.put(b"z", tenant=3, n_bytes=700)]
    with pytest.raises(QueueFull):
        queue.put(b"x", tenant=4, n_bytes=700)
    queue.close()
    assert all(future.exception(10) is None for future in futures)


def test_a_commit_is_bounded_by_what_it_costs(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.engine.commit.GROUP_COST_BYTES", 100_000)
    futures = [queue.put(b"%d" % i, n_points=100) for i in range(6)]
    queue.release()
    assert [future.result(10) for future in futures] and queue.queue.n_commits == 3
