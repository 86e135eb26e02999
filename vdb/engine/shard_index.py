"""A collection's shared index over its life: absent, made in the background, kept up, laid out anew, loaded, dropped.

It is derived: whatever happens to it, the exact path answers. One lock orders what publishes with what swaps; builds
and layouts happen beside it, and what is written meanwhile waits for them. Order of a publication: the index takes the
changes, then the readings, then the sequence is published.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vdb.engine.attempts import Attempts
from vdb.engine.choosing import Wish, described
from vdb.engine.free_memory import release_free_memory
from vdb.engine.index_files import Files, read_index, write_index
from vdb.engine.index_saves import IndexSaves
from vdb.engine.index_source import Points, read_points
from vdb.engine.indexing import Indexing
from vdb.engine.pace import Backlog, Cancelled, Pace
from vdb.engine.readings import Change
from vdb.engine.recall_checks import RecallFigures
from vdb.engine.replay import replay_all, take
from vdb.engine.slots import OldSlots
from vdb.engine.tuner import Tuner, typical_reading
from vdb.errors import CorruptData, VdbError
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Model
from vdb.index.curator.upkeep import laid_out
from vdb.storage.changes import read_changes_from
from vdb.storage.meta import read_sequence
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
        self._files = Files(folder)
        self._saves = IndexSaves(shard.queue)
        self._indexing = indexing
        self._from_points = indexing.from_points
        self._lock = threading.Lock()
        self._pace = Pace(self._lock)
        self._work = threading.Lock()
        self._backlog = Backlog(self._lock, self._pace)
        self._sequence = 0
        self._is_busy = False
        self._n_missed = 0
        self._n_slots = 0
        self._old_slots = OldSlots()
        self._attempts = Attempts()
        self.current: CuratorIndex | None = None
        self._may_load = indexing.from_points > 0 and self._files.exists()
        self.state = "absent"
        self.n_builds = 0
        self.n_layouts = 0
        is_recording = indexing.is_recording and indexing.from_points > 0
        self.recall = RecallFigures(indexing.recall_checker)
        self.tuner = Tuner(shard.collection, self._files, is_recording, indexing.least_tuned)

    # Publication, on the writer's thread

    def publish(self, changes: list[Change], sequence: int) -> None:
        """Take committed changes; where that fails the index is dropped, and loaded or made again."""
        if self.current is None and not self._backlog.is_kept:
            self._n_missed += sum(len(change.pids) for change in changes)
            return
        with self._lock:
            self._sequence = sequence
            self._backlog.add(changes)
            if self.current is not None:
                self._take(self.current, changes)
            self._pace.follow(len(changes))

    def _take(self, index: CuratorIndex, changes: list[Change]) -> None:
        try:
            for change in changes:
                take(index, change)
        except Exception as exc:  # whatever it was, what it holds can no longer be trusted
            logger.error("an index is dropped", exc_info=exc, extra={"environment": self._shard.env.path.name})
            self._forget()

    def drop(self) -> None:
        """Forget what is in RAM: after a failed commit, and for memory. It is loaded again when it is searched."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self.current is not None:  # searches under way go on reading its slots: what is loaded takes others
            self._n_slots = max(self._n_slots, self.current.n_slots)
        self.current = None
        self._backlog.forget()
        self._may_load = self._files.exists()
        self.state = "absent"

    # Reading

    def take(self) -> CuratorIndex | None:
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
        self._n_missed = 0
        began = time.perf_counter()
        try:
            with self._gathering():
                index, sequence = self._read()
                self.tuner.load(index.state.model)
                self._catch_up(index, sequence)
            self._log("an index was loaded", began, index)
        except Cancelled:
            return  # dropped meanwhile: it is loaded again
        except Exception as exc:
            logger.warning("an index is made anew", exc_info=exc, extra={"environment": self._shard.env.path.name})
            self._remove_files()

    def _remove_files(self) -> None:
        """Files that cannot be removed are not loaded again by this process, nor trusted by the next."""
        try:
            self._files.remove()
        except OSError as exc:
            logger.warning("an index stays on disk", exc_info=exc, extra={"environment": self._shard.env.path.name})

    def _read(self) -> tuple[CuratorIndex, int]:
        """The index of the files, brought up to what is committed now, and that sequence."""
        index, sequence, epoch = read_index(self._files, self._shard.collection)
        self._old_slots.leave_unnamed(index, self._n_slots)
        index.skip_slots(self._n_slots)
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
        if index is not None:
            self._reuse_slots(index)
        if index is None and self._may_load:
            if self._n_missed <= MOST_MISSED:
                return False
            self._load()
        elif index is None:
            is_wanted, is_logged = self._needs()
            if is_wanted:
                self._build()
            elif is_logged and self._files.has_folder:
                self._retire()
            else:
                return False
        elif index.n_live < SHRINK_SHARE * self._from_points:
            self._retire()
        elif self.tuner.wanted is not None:
            self._tune(index)
        elif index.should_lay_out and self._attempts.are_due(index.n_live):
            self._lay_out(index)
        elif self.tuner.is_due(index):
            self._measure(index)
        else:
            return False
        return True

    def _needs(self) -> tuple[bool, bool]:
        """Whether an index is to be made now, and whether changes are logged for one although none is wanted."""
        with self._shard.env.read() as txn:
            n_vectors, is_logged = read_totals(txn).vectors, read_changes_from(txn) is not None
        is_wanted = bool(self._from_points) and n_vectors >= self._from_points
        return is_wanted and self._attempts.are_due(n_vectors), is_logged and not is_wanted

    @contextmanager
    def _gathering(self) -> Iterator[None]:
        """Changes published in this block are kept for whoever is making an index."""
        with self._lock:
            self._backlog.keep()
            self._sequence = self._shard.readings.published_sequence
        try:
            yield
        finally:
            with self._lock:
                self._backlog.forget()

    def _build(self) -> None:
        self.state = "building"
        began = time.perf_counter()
        try:
            self._shard.queue.submit(lambda group: group.keep_changes(), 0).result()
            with self._gathering():
                index, sequence = self._built()
                self._catch_up(index, sequence)
        finally:
            if self.current is None:
                self.state = "absent"
        self.n_builds += 1
        self._attempts.succeed()
        self._log("an index was built", began, index)
        self._trim(sequence)

    def _built(self) -> tuple[CuratorIndex, int]:
        collection = self._shard.collection
        with self._shard.env.read() as txn:
            sequence = read_sequence(txn)
            vectors, self._n_slots = self._files.new_vectors(collection.dimension), 0
            self._old_slots.clear()
            points: Points = read_points(txn, collection, vectors, self._check)
        if not len(points.pids):
            raise CorruptData("no point has a sound vector and record")
        sample = points.sample(vectors.rows, collection.id)
        n_reading = typical_reading(points.readings())
        model = self.tuner.train(sample, len(points.pids), n_reading, Wish(), self._check)
        self._check()
        index = CuratorIndex.build(
            model, points.pids, points.owners, points.expires_at_ms, *points.granted(), vectors, sequence,
            check=self._check,
        )  # fmt: skip
        self._check()
        self._save(index, sequence)
        self._adopt(model)
        return index, sequence

    def _catch_up(self, index: CuratorIndex, sequence: int) -> None:
        """Do on a new index what was published since `sequence`, then let it answer.

        Writers wait for the last few changes only: a long build leaves more than they should wait for.
        """
        self._backlog.catch_up(index, sequence, self._check)
        with self._lock:
            self._backlog.finish(index, sequence)
            self._sequence = max(self._sequence, sequence)
            self._show(index)

    def _show(self, index: CuratorIndex) -> None:
        self._old_slots.show(index)
        self.current = index
        self.state = "ready"

    def _retire(self) -> None:
        """So few points are left that each search compares all of them: nothing is kept up or logged any more."""
        self._shard.queue.submit(lambda group: group.stop_changes(), 0, frees_space=True).result()
        with self._lock:
            self.current = None
            self._may_load = False
            self.state = "absent"
        self._remove_files()
        self._trim(self._shard.readings.published_sequence)

    def _lay_out(self, index: CuratorIndex, is_forced: bool = False) -> bool:
        """Whether the successor answers now, not where the index was dropped meanwhile."""
        began = time.perf_counter()
        with self._lock:
            moment = index.begin_layout(self._sequence or self._shard.readings.published_sequence)
        try:
            outcome = laid_out(index, moment, self.tuner.retrainer(moment.state, self._check), is_forced, self._check)
            successor, model = outcome.index, outcome.index.state.model
            if self.current is not index:
                return False
            failure = self._saved(successor, moment.sequence)

            def do(n: int) -> None:
                index.replay(successor, n)
                self._check()

            self._pace.catch_up(lambda: index.n_noted, do)
            with self._lock:
                if self.current is not index:
                    return False
                index.replay(successor)
                self._old_slots.leave(moment.ended_slots)
                self._show(successor)
        finally:
            index.abandon_layout()
        self.n_layouts += 1
        self._log("an index was laid out anew", began, successor, split=outcome.n_split, trained=outcome.is_trained)
        if failure is not None:
            raise failure
        self._old_slots.saved()
        self._attempts.succeed()
        self._adopt(model)
        self._trim(moment.sequence)
        return True

    def _saved(self, successor: CuratorIndex, sequence: int) -> Exception | None:
        """Save it before it answers: its arrays are the file's then. Or why that failed: it answers all the same."""
        try:
            self._save(successor, sequence)
        except Exception as exc:
            return exc
        return None

    def _save(self, index: CuratorIndex, sequence: int) -> None:
        files, collection = self._files, self._shard.collection
        self._saves.save(lambda epoch: write_index(files, index, files.vectors, sequence, collection, epoch))

    def _reuse_slots(self, index: CuratorIndex) -> None:
        slots = self._old_slots.release(self._files.vectors)
        with self._lock:
            index.reuse(slots)

    def _adopt(self, model: Model) -> None:
        self.tuner.adopt(model)
        self.tuner.save()

    def _tune(self, index: CuratorIndex) -> None:
        """Train and code anew as an admin wants it, then measure; what fails is the job's to tell."""
        try:
            if not self._lay_out(index, is_forced=True) or self.current is None:
                raise Cancelled
            self._measure(self.current)
        except Cancelled:
            raise
        except Exception as exc:
            self.tuner.finish(exc.detail if isinstance(exc, VdbError) else "internal error; see the server's log")
            raise
        self.tuner.finish()

    def _measure(self, index: CuratorIndex) -> None:
        def check() -> None:
            self._check()
            if self.current is not index:
                raise Cancelled  # dropped: whoever searches waits to load it

        try:
            self.tuner.measure(index, self._shard.readings.published_sequence, time.time_ns() // 1_000_000, check)
        except Cancelled:
            raise
        except Exception:
            self.tuner.measured_in_vain(index)
            raise

    def _trim(self, sequence: int) -> None:
        self._saves.trim(sequence, lambda: self._indexing.is_cancelled(self._shard.collection.id))

    def _log(self, what: str, began: float, index: CuratorIndex, **more: int) -> None:
        told = {
            "environment": self._shard.env.path.name,
            "rows": index.n_rows,
            "cells": len(index.state.model.leaves),
            "encoding": described(index.state.model.encoding),
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
        self._files.close()
