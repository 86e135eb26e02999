"""Writers over two collections, and one of collections themselves, each with its history."""

import random
import threading
import time
from collections.abc import Callable

from bench.backup.history import Changes, History
from bench.crash.access import Body, HttpAccess, Refused

COLLECTIONS = ("first", "second")
DIMENSION = 8
MAX_IDS = 200
MADE_POINTS = 3
MAX_MADE = 5
CATALOG = "catalog"


def vector_of(token: int) -> list[float]:
    """The vector that a request writes, so that what is found tells whether vector and payload belong together."""
    return [float((token * (i + 3)) % 251) for i in range(DIMENSION)]


class Writer(threading.Thread):
    """Upserts and deletes points of a tenant of its own, in either collection, until told to stop."""

    def __init__(self, history: History, access: HttpAccess, rng: random.Random, stop: threading.Event) -> None:
        super().__init__(name=history.name, daemon=True)
        self._history, self._access, self._rng, self._stop_asked = history, access, rng, stop
        self._token = 0
        self.longest_s = 0.0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                self._step()
        except Exception as exc:  # reported by whoever joins
            self.error = exc

    def _step(self) -> None:
        rng = self._rng
        collection = rng.choice(COLLECTIONS)
        ids = [place[1] for place in self._history.state if place[0] == collection]
        if ids and rng.random() < 0.4:
            chosen = rng.sample(ids, rng.randint(1, min(10, len(ids))))
            self.send(
                {(collection, point_id): None for point_id in chosen}, "delete_points", collection, {"ids": chosen}
            )
            return
        self._token += 1
        chosen = [f"p{number}" for number in rng.sample(range(MAX_IDS), rng.choice((1, 1, 5, 30)))]
        points = [
            {"id": point_id, "vector": vector_of(self._token), "payload": {"token": self._token}} for point_id in chosen
        ]
        changes = {(collection, point_id): self._token for point_id in chosen}
        self.send(changes, "upsert", collection, {"points": points})

    def send(self, changes: Changes, operation: str, collection: str, body: Body) -> None:
        """One request, kept in the history."""
        began = time.monotonic()
        self._history.begin(changes, began)
        self._access.run(operation, (collection,) if collection else (), body, self._history.name)
        ended = time.monotonic()
        self._history.acknowledge(ended)
        self.longest_s = max(self.longest_s, ended - began)


class Founder(Writer):
    """Makes collections, fills them, drops them."""

    def _step(self) -> None:
        made = sorted(place[0] for place in self._history.state)
        if len(made) >= MAX_MADE or (made and self._rng.random() < 0.3):
            name = self._rng.choice(made)
            self.send({(name, ""): None}, "delete_collection", name, {})
            return
        self._token += 1
        name = f"made-{self._token}"
        self.send({(name, ""): 0}, "create_collection", "", {"name": name, "dimension": DIMENSION, "metric": "l2"})
        points = [{"id": f"p{i}", "vector": vector_of(i)} for i in range(MADE_POINTS)]
        self.send({(name, ""): MADE_POINTS}, "upsert", name, {"points": points})
        time.sleep(0.02)  # a new environment takes a dozen syncs: alone it would leave the writers little of the disk


def run_beside(threads: list[Writer], work: Callable[[], None], stop: threading.Event) -> None:
    """Do `work` while the threads write; raises what one of them met."""
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for thread in threads:
        if thread.error is not None:
            raise RuntimeError(f"{thread.name} met {thread.error!r}") from (
                thread.error if not isinstance(thread.error, Refused) else None
            )
