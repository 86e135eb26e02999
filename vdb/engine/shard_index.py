"""A collection's shared index over its life: absent, made in the background, kept up, laid out anew, loaded, dropped.

It is derived: whatever happens to it, the exact path answers. Builds and layouts happen beside the index that answers
(`vdb.engine.serving`), and what is written meanwhile waits for them. What an index is made of, and its files, are its
kind's (`vdb.engine.index_kind`).
"""

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdb.engine.attempts import Attempts
from vdb.engine.choosing import described
from vdb.engine.free_memory import release_free_memory
from vdb.engine.index_files import Files
from vdb.engine.index_kind import Kind, Served
from vdb.engine.index_saves import IndexSaves
from vdb.engine.indexing import Indexing
from vdb.engine.pace import Cancelled
from vdb.engine.ram_kind import RamKind
from vdb.engine.readings import Change
from vdb.engine.recall_checks import RecallFigures
from vdb.engine.replay import replay_all
from vdb.engine.serving import Serving
from vdb.engine.tuner import Tuner
from vdb.errors import VdbError
from vdb.storage.changes import read_changes_from
from vdb.storage.points import read_totals

if TYPE_CHECKING:
    from vdb.engine.shard import Shard

logger = logging.getLogger(__name__)

INDEX_PLACE = 0
"""Stands for the index among a collection's readings, where memory is counted: no tenant has this id."""
MOST_MISSED = 10_000
"""Points that are written before an index that lies on disk is loaded unasked: a search waits for them otherwise."""
SHRINK_SHARE = 0.5
"""An index is given up when fewer points are left than this share of what makes one."""


class ShardIndex:
    """The index of one shard. Any thread may search `current`; the writer publishes; one background thread works."""

    def __init__(self, shard: "Shard", folder: Path, indexing: Indexing) -> None:
        self._shard = shard
        self._saves = IndexSaves(shard.queue)
        self._indexing = indexing
        self._from_points = indexing.from_points
        self._work = threading.Lock()
        self._is_busy = False
        self._attempts = Attempts()
        is_recording = indexing.is_recording and indexing.from_points > 0
        files = Files(folder)
        self.tuner = Tuner(shard.collection, files, is_recording, indexing.least_tuned)
        self._serving = Serving(RamKind(shard.collection, files, self.tuner), shard.env.path.name)
        self._may_load = indexing.from_points > 0 and self.kind.exists()
        self.n_builds = 0
        self.n_layouts = 0
        self.recall = RecallFigures(indexing.recall_checker)

    @property
    def current(self) -> Served | None:
        """What answers; None while searches compare everything."""
        return self._serving.current

    @property
    def kind(self) -> Kind[Any]:
        """What the index that answers is of, or was the last time."""
        return self._serving.kind

    @property
    def state(self) -> str:
        """absent, building or ready."""
        return self._serving.state

    @property
    def n_cells(self) -> int:
        """Cells of the index, 0 without one."""
        index = self.current
        return len(self.kind.model_of(index).leaves) if index is not None else 0

    def publish(self, changes: list[Change], sequence: int) -> None:
        """Take committed changes; where that fails the index is dropped, and loaded or made again."""
        if not self._serving.publish(changes, sequence):
            self._may_load = self.kind.exists()

    def drop(self) -> None:
        """Forget what is in RAM: after a failed commit, and for memory. It is loaded again when it is searched."""
        self._serving.forget()
        self._may_load = self.kind.exists()

    # Reading

    def take(self) -> Served | None:
        """The index, loaded if there is one on disk; None while there is none, or what is under way takes longer."""
        if self.current is None and self._may_load and not self._is_busy:
            with self._work:
                self._load()
            self._shard.count_index()
            release_free_memory()
        elif self.current is not None:
            self._shard.touch_index()
        return self.current

    @property
    def is_loadable(self) -> bool:
        """Whether the next `take` reads files first."""
        return self.current is None and self._may_load

    def _load(self) -> None:
        """Where that fails, whatever it was, the index is made anew: searches go on without it."""
        if self.current is not None or not self._may_load:
            return
        self._may_load = False
        self._serving.n_missed = 0
        began = time.perf_counter()
        try:
            with self._serving.gathering(self._shard.readings.published_sequence):
                index, sequence = self._read()
                self.kind.loaded(index)
                self._serving.catch_up(index, self.kind, sequence, self._check)
            self._log("an index was loaded", began, index)
        except Cancelled:
            return  # dropped meanwhile: it is loaded again
        except Exception as exc:
            logger.warning("an index is made anew", exc_info=exc, extra={"environment": self._shard.env.path.name})
            self._remove_files()

    def _remove_files(self) -> None:
        """Files that cannot be removed are not loaded again by this process, nor trusted by the next."""
        try:
            self.kind.remove()
        except OSError as exc:
            logger.warning("an index stays on disk", exc_info=exc, extra={"environment": self._shard.env.path.name})

    def _read(self) -> tuple[Served, int]:
        """The index of the files, brought up to what is committed now, and that sequence."""
        index, sequence, epoch = self.kind.read()
        with self._shard.env.read() as txn:
            self._saves.check(txn, epoch)
            now = replay_all(index, txn, sequence, self._shard.collection.dimension)
        index.raise_floor(now)
        return index, now

    # Work, on the background thread

    def work(self) -> bool:
        """Make the index, or lay it out anew, where that is due; whether something was done."""
        with self._work:
            self._is_busy = not (self.current is None and self._may_load)
            try:
                return self._work_on()
            except Cancelled:
                return False
            except Exception:
                self._attempts.fail()
                raise
            finally:
                self._is_busy = False

    def _work_on(self) -> bool:
        index = self.current
        if index is None:
            return self._begin()
        self._keep_up(index)
        if index.n_live < SHRINK_SHARE * self._from_points:
            self._retire()
        elif self.kind.is_retraining_wanted:
            self._retrain(index)
        elif index.should_lay_out and self._attempts.are_due(index.n_live):
            self._lay_out(index)
        elif self.kind.should_measure(index):
            self._measure(index)
        else:
            return False
        return True

    def _begin(self) -> bool:
        """There is no index in RAM."""
        if self._may_load:
            if self._serving.n_missed <= MOST_MISSED:
                return False
            self._load()
            return True
        is_wanted, is_logged = self._needs()
        if is_wanted:
            self._build()
        elif is_logged and self.kind.has_folder:
            self._retire()
        else:
            return False
        return True

    def _needs(self) -> tuple[bool, bool]:
        """Whether an index is to be made now, and whether changes are logged for one although none is wanted."""
        with self._shard.env.read() as txn:
            n_vectors, is_logged = read_totals(txn).vectors, read_changes_from(txn) is not None
        is_wanted = bool(self._from_points) and n_vectors >= self._from_points
        return is_wanted and self._attempts.are_due(n_vectors), is_logged and not is_wanted

    def _build(self) -> None:
        serving, kind = self._serving, self.kind
        serving.state = "building"
        began = time.perf_counter()
        try:
            self._shard.queue.submit(lambda group: group.keep_changes(), 0).result()
            with serving.gathering(self._shard.readings.published_sequence):
                index, sequence = self._built(kind)
                serving.catch_up(index, kind, sequence, self._check)
        finally:
            if self.current is None:
                serving.state = "absent"
        self.n_builds += 1
        self._attempts.succeed()
        self._log("an index was built", began, index)
        self._trim(sequence)

    def _built(self, kind: Kind[Any]) -> tuple[Served, int]:
        """An index of what is committed now, saved, and that sequence."""
        index, sequence = kind.build(self._shard.env, self._check)
        self._check()
        self._save(kind, index, sequence)
        kind.adopt()
        return index, sequence

    def _retire(self) -> None:
        """So few points are left that each search compares all of them: nothing is kept up or logged any more."""
        self._shard.queue.submit(lambda group: group.stop_changes(), 0, frees_space=True).result()
        self._serving.retire()
        self._may_load = False
        self._remove_files()
        self._trim(self._shard.readings.published_sequence)

    def _lay_out(self, index: Served, is_forced: bool = False) -> bool:
        """Whether the successor answers now, not where the index was dropped meanwhile."""
        began, kind = time.perf_counter(), self.kind
        moment = self._serving.begin_layout(index, self._shard.readings.published_sequence)
        try:
            successor, told = kind.lay_out(index, moment, is_forced, self._check)
            if self.current is not index:
                return False
            failure = self._saved(kind, successor, moment.sequence)
            if not self._serving.succeed(index, successor, self._check):
                return False
        finally:
            index.abandon_layout()
        self.n_layouts += 1
        self._log("an index was laid out anew", began, successor, **told)
        if failure is not None:
            raise failure
        self._attempts.succeed()
        kind.adopt()
        self._trim(moment.sequence)
        return True

    def _saved(self, kind: Kind[Any], successor: Served, sequence: int) -> Exception | None:
        """Save it before it answers: its arrays are the file's then. Or why that failed: it answers all the same."""
        try:
            self._save(kind, successor, sequence)
        except Exception as exc:
            return exc
        return None

    def _save(self, kind: Kind[Any], index: Served, sequence: int) -> None:
        self._saves.save(lambda epoch: kind.save(index, sequence, epoch))

    def _keep_up(self, index: Served) -> None:
        slots = self.kind.upkeep(index)
        with self._serving.lock:
            index.reuse(slots)

    def _retrain(self, index: Served) -> None:
        """Train and code anew as an admin wants it, then measure; what fails is the job's to tell."""
        try:
            if not self._lay_out(index, is_forced=True) or self.current is None:
                raise Cancelled
            self._measure(self.current)
        except Cancelled:
            raise
        except Exception as exc:
            error = exc.detail if isinstance(exc, VdbError) else "internal error; see the server's log"
            self.kind.finish_retraining(error)
            raise
        self.kind.finish_retraining()

    def _measure(self, index: Served) -> None:
        def check() -> None:
            self._check()
            if self.current is not index:
                raise Cancelled  # dropped: whoever searches waits to load it

        self.kind.measure(index, self._shard.readings.published_sequence, check)

    def _trim(self, sequence: int) -> None:
        self._saves.trim(sequence, lambda: self._indexing.is_cancelled(self._shard.collection.id))

    def _log(self, what: str, began: float, index: Served, **more: Any) -> None:
        model = self.kind.model_of(index)
        told = {
            "environment": self._shard.env.path.name,
            "rows": index.n_rows,
            "cells": len(model.leaves),
            "encoding": described(model.encoding),
            "seconds": round(time.perf_counter() - began, 2),
        }
        logger.info(what, extra=told | more)

    def _check(self) -> None:
        if self._indexing.is_cancelled(self._shard.collection.id):
            raise Cancelled

    def close(self) -> None:
        """Let the files go; nobody works or searches any more."""
        self.tuner.save_recorded()
        self.drop()
        self.kind.close()
