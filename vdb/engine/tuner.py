"""Keeps an index tuned: chooses its encoding, measures what recall costs, and remembers recent queries for both.

`tuning` is one reference that searches read; the thread that works on the index replaces it. What an admin asks for
waits in `wanted` until that thread takes it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdb.engine.choosing import Sample, Wish, trained
from vdb.engine.index_files import Files
from vdb.engine.tuning import REQUESTED, Tuning, fingerprint_of, read_tuning, write_tuning
from vdb.errors import StorageFailure
from vdb.index.curator.choice import Candidate
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.measuring import LEAST_QUERIES, measure
from vdb.index.curator.model import Model, prepared
from vdb.index.curator.profile import Profile, residual_class, residuals
from vdb.index.curator.recorded import RecordedQueries
from vdb.index.curator.state import ALIVE, LIST_FIRST, LIST_STOP, OWN_FIRST, OWN_STOP, State
from vdb.index.curator.upkeep import Retrain
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID

logger = logging.getLogger(__name__)

LEAST_TUNED = 5_000
"""Vectors from which an encoding is chosen by measurement and a profile is measured unasked."""
ASKED_ROWS = 1_000
"""Rows that are asked where a profile is measured by rows."""
REMEASURE_GROWTH = 2.0
LOOK_EVERY = 200
"""New queries after which is looked whether any are unlike those that were measured."""
MORE_RECORDED = 4
"""Times as many recorded queries as the profile was measured by have it measured again: what is asked is harder than
rows are, which have others like them, and the first queries may not be what is asked later."""
SAVE_EVERY = 100


@dataclass(slots=True)
class Ticket:
    """A job's wish for a collection: waiting, then `is_done`, with what went wrong or ""."""

    job_id: int
    wish: Wish
    is_done: bool = False
    error: str = ""


class Tuner:
    """Of one shard's index. Any thread reads `tuning`; `note` is called by searches, the rest by who works on it."""

    def __init__(
        self, collection: CollectionDocument, files: Files, is_recording: bool, least_tuned: int = LEAST_TUNED
    ) -> None:
        self.recorded = RecordedQueries(collection.dimension, is_recording)
        self.tuning = Tuning()
        self.ticket: Ticket | None = None
        self._collection = collection
        self._files = files
        self._least_tuned = least_tuned
        self._is_recording = is_recording
        self._next: tuple[Model, Tuning] | None = None
        self._is_restored = False
        self._fingerprint: list[int] | None = None
        self._n_looked = 0
        self._n_saved = 0
        self._was_in_vain = False

    @property
    def profile(self) -> Profile | None:
        """What recall costs on the collection; None before it was measured."""
        profile = self.tuning.profile
        return profile if profile is not None and profile.levels else None

    @property
    def wanted(self) -> Wish | None:
        """What an admin waits for."""
        return self.ticket.wish if self.ticket is not None and not self.ticket.is_done else None

    # Models

    def train(
        self, rows: NDArray[np.float32], n_total: int, n_reading: int, wish: Wish, check: Callable[[], None]
    ) -> Model:
        """A model for prepared rows, a sample of `n_total`; its tuning holds once `adopt` says so."""
        sample = Sample(rows, n_total, n_reading, self._collection.metric, self.recorded.rows)
        is_measured = n_total >= self._least_tuned or wish.queries is not None
        self._next = trained(sample, wish, is_measured, check)
        return self._next[0]

    def retrainer(self, state: State, check: Callable[[], None]) -> Retrain:
        """Makes models as an admin wants them now or wanted them last, else the best by measurement."""

        def retrain(rows: NDArray[np.float32], n_total: int, model: Model) -> Model:
            wish = self.wanted
            if wish is None:
                is_pinned = self.tuning.origin == REQUESTED
                wish = Wish(candidate=Candidate(model.encoding, self.tuning.for_queries) if is_pinned else None)
            return self.train(rows, n_total, typical_reading(_sizes(state)), wish, check)

        return retrain

    def adopt(self, model: Model) -> None:
        """The index that answers from now on has this model; what was trained for another that was given up is gone."""
        self._is_restored, self._was_in_vain = True, False
        if self._next is not None and self._next[0] is model:
            self.tuning = self._next[1]
        self._next = None
        self._fingerprint = fingerprint_of(model)

    # Profiles

    def is_due(self, index: CuratorIndex) -> bool:
        """Whether a profile should be measured: there is none, the collection doubled, many more queries are known, or
        queries became others."""
        if index.n_live < self._least_tuned:
            return False
        tuning = self.tuning
        return (
            not tuning.n_profiled or index.n_live >= REMEASURE_GROWTH * tuning.n_profiled or self._asks_otherwise(index)
        )

    def _asks_otherwise(self, index: CuratorIndex) -> bool:
        n_recorded = self.recorded.n_recorded
        if n_recorded - self._n_looked < LOOK_EVERY or self._was_in_vain:
            return False
        self._n_looked = n_recorded
        if len(self.recorded) >= max(LOOK_EVERY, MORE_RECORDED * self.tuning.n_recorded):
            return True
        known = self.tuning.profile.residual_classes if self.tuning.profile is not None else ()
        model = index.state.model
        seen = residuals(model.projection, prepared(self.recorded.rows, model.metric)).tolist()
        classes = [residual_class(residual) for residual in seen]
        return any(one not in known and classes.count(one) >= LEAST_QUERIES for one in set(classes))

    def measure(self, index: CuratorIndex, sequence: int, now_ms: int, check: Callable[[], None]) -> None:
        """Measure the profile by rows and by recorded queries, and let searches use it."""
        state = index.state
        if state.floor_sequence > sequence:
            return  # laid out by now for a later sequence: another time
        began = time.perf_counter()
        queries, slots = _asking_rows(state, index.n_rows)
        profile = measure(index, state, queries, sequence, now_ms, own_slots=slots, check=check)
        recorded = self.recorded.rows
        n_recorded = len(recorded) if len(recorded) >= LEAST_QUERIES else 0
        if n_recorded:
            profile = profile.merged(measure(index, state, recorded, sequence, now_ms, check=check))
        check()
        self._n_looked, self._was_in_vain = self.recorded.n_recorded, False
        self.tuning = replace(self.tuning, profile=profile, n_profiled=max(1, index.n_live), n_recorded=n_recorded)
        self._log("profile measured", began, classes=len(profile.levels), recorded=n_recorded)
        self.save()

    def measured_in_vain(self, index: CuratorIndex) -> None:
        """Measuring failed: not to be tried again, whatever is asked, until the collection is another."""
        self._was_in_vain = True
        self.tuning = replace(self.tuning, n_profiled=max(1, index.n_live))

    # Files

    def load(self, model: Model) -> None:
        """Read what is known of a model that was loaded, and the recorded queries; an index that was dropped and comes
        back finds both in memory."""
        fingerprint = fingerprint_of(model)
        if fingerprint == self._fingerprint:
            return
        self._fingerprint = fingerprint
        self.tuning, queries = read_tuning(self._files.tuning_path, fingerprint, self._collection.dimension)
        if not self._is_restored:
            self.recorded.restore(queries)
        self._is_restored = True
        self._n_saved = self._n_looked = self.recorded.n_recorded

    def save(self) -> None:
        """Write it all; a failure costs no more than another measurement."""
        if self._fingerprint is None or not self._files.exists():
            return
        self._n_saved = self.recorded.n_recorded
        try:
            write_tuning(self._files.tuning_path, self.tuning, self._fingerprint, self.recorded.rows)
        except StorageFailure as exc:
            logger.warning("what was measured of an index was not saved", exc_info=exc)

    def save_recorded(self) -> None:
        """Write it all where enough queries are new."""
        if self.recorded.n_recorded - self._n_saved >= SAVE_EVERY:
            self.save()

    def finish(self, error: str = "") -> None:
        """What was wanted is done, or failed."""
        if self.ticket is not None:
            self.ticket.error, self.ticket.is_done = error, True

    def _log(self, what: str, began: float, **more: int) -> None:
        seconds = round(time.perf_counter() - began, 2)
        logger.info(what, extra={"collection": self._collection.id, "seconds": seconds, **more})


def _asking_rows(state: State, n_rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Some live rows as queries, and their slots."""
    live = np.flatnonzero(state.rows.dead_at[:n_rows] == ALIVE)
    if len(live) > ASKED_ROWS:
        live = np.sort(np.random.default_rng(len(live)).choice(live, ASKED_ROWS, replace=False))
    slots = state.rows.slots[live].astype(np.int64)
    return np.array(state.vectors[slots]), slots


def typical_reading(sizes: dict[int, int]) -> int:
    """The mean number of rows of a tenant's reading, with everyone's, of rows by tenant."""
    n_everyones = sizes.get(EVERYONE_ID, 0)
    others = [n for tenant, n in sizes.items() if tenant != EVERYONE_ID and n]
    return max(1, n_everyones + (sum(others) // len(others) if others else 0))


def _sizes(state: State) -> dict[int, int]:
    """Rows that each tenant's reading named at the last layout."""
    spans = state.directories.spans
    sizes = spans[:, OWN_STOP] - spans[:, OWN_FIRST] + spans[:, LIST_STOP] - spans[:, LIST_FIRST]
    return dict(zip(state.directories.tenants.tolist(), sizes.tolist(), strict=True))
