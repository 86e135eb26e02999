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
from vdb.engine.build_stages import BuildStages
from vdb.engine.choosing import described
from vdb.engine.free_memory import release_free_memory
from vdb.engine.index_kind import Kind, Served
from vdb.engine.index_loading import Loader
from vdb.engine.index_making import Maker
from vdb.engine.index_saves import IndexSaves
from vdb.engine.indexing import Indexing
from vdb.engine.kinds import Kinds
from vdb.engine.list_figures import Folds, ListFigures
from vdb.engine.pace import Cancelled
from vdb.engine.readings import Change
from vdb.engine.recall_checks import RecallFigures
from vdb.engine.serving import Serving
from vdb.engine.tuner import Tuner
from vdb.errors import CorruptData, VdbError
from vdb.storage.changes import read_changes_from
from vdb.storage.codec import Usage
from vdb.storage.points import read_totals
from vdb.types import Tier

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
        self._changes = Attempts()
        self._kinds = Kinds(shard.collection, folder, indexing, shard.queue)
        self._serving = Serving(self._kinds.ram, shard.env.path.name)
        self._loader = Loader(shard, self._kinds, self._serving, self._saves)
        self._maker = Maker(shard, self._serving, self._saves, self._loader)
        self._may_load = indexing.from_points > 0 and self._kinds.exist()
        self._has_others = True
        self._tier = Tier.HYBRID
        self.n_builds = 0
        self.n_layouts = 0
        self.recall = RecallFigures(indexing.recall_checker)
        self.list_figures = ListFigures()

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
    def tier(self) -> Tier | None:
        """Where the index that answers lies: memory, hybrid or disk; None without one."""
        return None if self.current is None else self._tier

    @property
    def wanted_tier(self) -> Tier:
        """Where it is to lie, as was seen when it was worked on or loaded last."""
        return self._kinds.tier

    @property
    def tuner(self) -> Tuner:
        """Of indexes in RAM; recent queries are kept in it."""
        return self._kinds.tuner

    @property
    def build_stages(self) -> BuildStages:
        """How far the build of an index on disk is."""
        return self._kinds.disk.stages

    @property
    def folds(self) -> Folds:
        """What folds of indexes on disk have done."""
        return self._kinds.disk.folds

    @property
    def is_full(self) -> bool:
        """Whether writers are to wait until what they wrote is laid out, not while an index of another kind is made."""
        index = self.current
        return index is not None and index.is_full and self._kinds.wanted is self.kind

    @property
    def n_late(self) -> int:
        """Rows that wait for a fold."""
        index = self.current
        return index.n_late if index is not None else 0

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors that the tier keeps in RAM."""
        index = self.current
        if index is None or self._tier is not Tier.MEMORY:
            return 0
        return 4 * self._shard.collection.dimension * index.n_slots

    @property
    def n_cells(self) -> int:
        """Cells of the index, 0 without one."""
        index = self.current
        return len(index.state.model.leaves) if index is not None else 0

    def publish(self, changes: list[Change], sequence: int) -> None:
        """Take committed changes; where that fails the index is dropped, and loaded or made again."""
        if not self._serving.publish(changes, sequence):
            self._may_load = self._kinds.exist()

    def drop(self) -> None:
        """Forget what is in RAM: after a failed commit, and for memory. It is loaded again when it is searched."""
        self._serving.forget()
        self._may_load = self._kinds.exist()

    def forget_damaged(self, index: Served, exc: BaseException) -> None:
        """The index has been found damaged, by a search or a fold: it answers no more, and is made anew."""
        with self._serving.lock:  # a swap in between would have the sound kind distrusted
            is_served, kind = self.current is index, self.kind
        if not is_served:
            return
        environment = self._shard.env.path.name
        logger.error("a damaged index is made anew", exc_info=exc, extra={"environment": environment})
        try:
            kind.distrust()
        except OSError as again:  # its next search, or its next load, finds the damage again
            logger.warning("a damaged index stays on disk", exc_info=again, extra={"environment": environment})
        self._serving.forget()
        self._may_load = False

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
        self._choose()
        if self._loader.load(self._check, self._log):
            self._has_swapped()

    def _has_swapped(self) -> None:
        """An index has begun to answer that is not the one before, laid out anew."""
        self._has_others = True
        self._settle()

    def _settle(self) -> None:
        """Have the tier that is wanted, as far as the kind of the index allows."""
        self._tier = self._kinds.tier_with(self.kind)
        if self._tier is Tier.MEMORY:
            self.kind.prefault()

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
        totals, is_logged = self._choose()
        if index is None:
            return self._begin(totals.vectors, is_logged)
        self._keep_up(index)
        if self.kind is self._kinds.disk:
            self._kinds.give_up_tuning()
        wanted = self._kinds.wanted
        if index.n_live < SHRINK_SHARE * self._from_points:
            self._retire()
        elif wanted is not self.kind and self._changes.are_due(index.n_live):
            self._change(wanted)
        elif wanted is self.kind and self._tier is not self._kinds.tier:
            self._settle()
        elif self.kind.is_retraining_wanted:
            self._retrain(index)
        elif index.should_lay_out and self._attempts.are_due(index.n_live):
            self._lay_out(index)
        elif self.kind.should_measure(index):
            self._measure(index)
        else:
            return False
        return True

    def _choose(self) -> tuple[Usage, bool]:
        """See which tier the collection is to have; what it holds, and whether its changes are logged."""
        with self._shard.env.read() as txn:
            totals, is_logged = read_totals(txn), read_changes_from(txn) is not None
        self._kinds.choose(totals, self.tier)
        return totals, is_logged

    def _begin(self, n_vectors: int, is_logged: bool) -> bool:
        """There is no index in RAM."""
        if self._may_load:
            if self._serving.n_missed <= MOST_MISSED:
                return False
            self._load()
            return True
        is_wanted = bool(self._from_points) and n_vectors >= self._from_points
        if is_wanted and self._attempts.are_due(n_vectors):
            self._build(self._kinds.wanted)
        elif is_logged and not is_wanted and self._kinds.has_folder:
            self._retire()
        else:
            return False
        return True

    def _change(self, kind: Kind[Any]) -> None:
        """Make an index of another kind beside the one that answers; where that fails, that one goes on."""
        self._has_others = True
        try:
            self._build(kind)
        except Cancelled:
            raise
        except Exception as exc:
            self._changes.fail()
            level = logging.WARNING if isinstance(exc, VdbError) else logging.ERROR
            environment = self._shard.env.path.name
            logger.log(level, "a tier was not changed", exc_info=exc, extra={"environment": environment})
        else:
            self._changes.succeed()

    def _build(self, kind: Kind[Any]) -> None:
        serving = self._serving
        if self.current is None:
            serving.state = "building"
        began = time.perf_counter()
        try:
            index, sequence = self._maker.make(kind, self._check)
        finally:
            if self.current is None:
                serving.state = "absent"
        self.n_builds += 1
        self._attempts.succeed()
        self._has_swapped()
        self._log("an index was built", began, index)
        self._remove_others()
        self._trim(sequence)

    def _retire(self) -> None:
        """So few points are left that each search compares all of them: nothing is kept up or logged any more."""
        self._shard.queue.submit(lambda group: group.stop_changes(), 0, frees_space=True).result()
        self._serving.retire()
        self._may_load = False
        self._kinds.remove(*self._kinds.all)
        self._trim(self._shard.readings.published_sequence)

    def _lay_out(self, index: Served, is_forced: bool = False) -> bool:
        """Whether the successor answers now, not where the index was dropped meanwhile."""
        began, kind = time.perf_counter(), self.kind
        moment = self._serving.begin_layout(index, self._shard.readings.published_sequence)
        try:
            try:
                successor, told = kind.lay_out(index, moment, is_forced, self._check)
            except CorruptData as exc:
                self.forget_damaged(index, exc)
                return False
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
            self._maker.save(kind, successor, sequence)
        except Exception as exc:
            return exc
        return None

    def _keep_up(self, index: Served) -> None:
        if self._has_others and self._kinds.wanted is self.kind:
            self._remove_others()
        slots = self.kind.upkeep(index)
        with self._serving.lock:
            index.reuse(slots)

    def _remove_others(self) -> None:
        """Only the files of the index that answers are kept up."""
        self._kinds.remove(*self._kinds.without(self.kind))
        self._has_others = False

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
        model = index.state.model
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
        self._kinds.close()
