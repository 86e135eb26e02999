"""The kinds of index that a collection may have, and the one that its tier wants."""

import logging
from pathlib import Path
from typing import Any

from vdb.engine.commit import CommitQueue
from vdb.engine.disk_kind import DiskKind
from vdb.engine.index_files import Files
from vdb.engine.index_kind import Kind
from vdb.engine.indexing import Indexing
from vdb.engine.ram_kind import RamKind
from vdb.engine.tuner import Tuner
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Usage
from vdb.types import Tier

logger = logging.getLogger(__name__)

DISK_FOLDER = "disk"
"""In the folder of an index: the files of one on disk. Those of one in RAM lie beside it."""


class Kinds:
    """Of one collection; `tuner` is of the kind in RAM. Used as a `Kind` is."""

    def __init__(
        self, collection: CollectionDocument, folder: Path, indexing: Indexing, queue: CommitQueue[Any]
    ) -> None:
        files = Files(folder)
        is_recording = indexing.is_recording and indexing.from_points > 0
        self.tuner = Tuner(collection, files, is_recording, indexing.least_tuned)
        self.ram = RamKind(collection, files, self.tuner)
        self.disk = DiskKind(collection, folder / DISK_FOLDER, queue)
        self.all: tuple[Kind[Any], ...] = (self.ram, self.disk)
        self._folder = folder
        self._collection = collection
        self._tier_of = indexing.tier_of
        self.tier = Tier.HYBRID
        """The tier that the collection is to have: memory, hybrid or disk."""

    @property
    def has_folder(self) -> bool:
        """Whether there ever was an index."""
        return self._folder.exists()

    def give_up_tuning(self) -> None:
        """Nobody is to wait for an index that is to be tuned, where the one that answers is none of that kind."""
        if self.tuner.wanted is not None:
            self.tuner.finish("a collection of tier disk is not tuned")

    def choose(self, usage: Usage, present: Tier | None) -> None:
        """Decide the tier for a collection that holds `usage`; `present`: of the index that answers."""
        if present is None and self.exist():
            present = Tier.HYBRID if self.ram.exists() else Tier.DISK
        self.tier = self._tier_of(self._collection.id, usage, present)

    @property
    def wanted(self) -> Kind[Any]:
        """The kind of that tier."""
        return self.disk if self.tier is Tier.DISK else self.ram

    def tier_with(self, kind: Kind[Any]) -> Tier:
        """The tier of a collection that has an index of this kind."""
        if kind is self.disk:
            return Tier.DISK
        return Tier.MEMORY if self.tier is Tier.MEMORY else Tier.HYBRID

    def exist(self) -> bool:
        """Whether there are files to read an index from."""
        return self.ram.exists() or self.disk.exists()

    @property
    def loadable(self) -> list[Kind[Any]]:
        """Those that have such files, the wanted one first."""
        wanted = self.wanted
        return [kind for kind in (wanted, *self.without(wanted)) if kind.exists()]

    def without(self, kind: Kind[Any]) -> list[Kind[Any]]:
        """The others."""
        return [one for one in self.all if one is not kind]

    def remove(self, *kinds: Kind[Any]) -> None:
        """Remove their files. Those that cannot be removed are not trusted by the next process."""
        for kind in kinds:
            try:
                if kind.has_files:
                    kind.remove()
            except OSError as exc:
                logger.warning("an index stays on disk", exc_info=exc, extra={"environment": self._folder.parent.name})

    def close(self) -> None:
        """Let the files go."""
        self.ram.close()
        self.disk.close()
