"""What the engine asks of a collection's index, and of the kind that it is of: where its codes lie, in RAM or on disk.

`Served` answers searches and takes changes; a `Kind` makes such indexes, keeps them in files and lays them out anew.
Kinds have files of their own, so that an index of one is made while that of another serves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.model import Model
from vdb.storage.env import Environment

Check = Callable[[], None]
"""Called now and then by what takes long; raises when that is to end."""


class State(Protocol):
    """What searches hold. It answers for sequences from `floor_sequence` on."""

    @property
    def floor_sequence(self) -> int: ...

    @property
    def model(self) -> Model:
        """The tree that rows lie in, and what their codes mean."""


class Moment(Protocol):
    """An index as it stood at `sequence`."""

    @property
    def sequence(self) -> int: ...


class Served(Protocol):
    """An index that may answer. One writer at a time, with a lock; readers take `state` and need none."""

    @property
    def state(self) -> State: ...

    @property
    def n_rows(self) -> int:
        """Rows there are, dead ones included."""

    @property
    def n_live(self) -> int:
        """Rows that no write has ended."""

    @property
    def n_slots(self) -> int:
        """Slots of the vectors' file below this were given out."""

    @property
    def nbytes(self) -> int:
        """Bytes in RAM, or mapped from its file; without the vectors."""

    @property
    def should_lay_out(self) -> bool:
        """Whether so much has changed since the layout that another one pays."""

    @property
    def n_late(self) -> int:
        """Rows that wait for a layout to be searched as others are."""

    @property
    def is_full(self) -> bool:
        """Whether so many wait that no more should come."""

    def bytes_of(self, tenant: int) -> tuple[int, int]:
        """Bytes in RAM of the codes that a tenant's reading names, and of all else about its rows."""

    def put(
        self,
        owner: int,
        pids: NDArray[np.uint32],
        vectors: NDArray[np.float32],
        expires_at_ms: NDArray[np.int64],
        puts: Mapping[int, Sequence[int] | None],
        sequence: int,
    ) -> None:
        """Points written at `sequence`; see `CuratorIndex.put`."""

    def kill(self, pids: NDArray[np.uint32], sequence: int) -> None:
        """The points' vectors are gone from `sequence` on, for everyone."""

    def revoke(self, tenant: int, pids: NDArray[np.uint32]) -> None:
        """`tenant` may not see the points any more."""

    def reuse(self, slots: NDArray[np.uint32]) -> None:
        """Give these slots out again, before new ones. Not while a successor is made."""

    def skip_slots(self, n_slots: int) -> None:
        """Give out none below `n_slots`."""

    def raise_floor(self, sequence: int) -> None:
        """Answer for no sequence before this one."""

    def begin_layout(self, sequence: int) -> Moment:
        """What a successor is made of; from now on changes are noted for it. `sequence` is the newest published."""

    @property
    def n_noted(self) -> int:
        """Changes that were not done on the successor yet."""

    def replay(self, successor: Any, n_most: int | None = None) -> None:
        """Do the changes noted so far, or the first of them, on the successor. The last time under the lock."""

    def abandon_layout(self) -> None:
        """No successor is being made any more."""


I = TypeVar("I")  # noqa: E741
"""The indexes of a kind."""


class Kind(Protocol[I]):
    """Makes indexes of one kind for one collection and keeps them in files. Used by who works on the index, and
    `read` and `loaded` by who loads it: one thread at a time."""

    def exists(self) -> bool:
        """Whether there are files to read an index from."""

    @property
    def has_files(self) -> bool:
        """Whether there is anything of an index, whole or not."""

    def build(self, env: Environment, check: Check) -> tuple[I, int]:
        """An index of all points of a collection, in place of any that the files hold, and the sequence it stands at.
        Raises CorruptData where there is no sound point, DiskFull, StorageFailure."""

    def lay_out(self, index: I, moment: Any, is_forced: bool, check: Check) -> tuple[I, dict[str, Any]]:
        """The successor of `index` as of `moment`, and what to tell of it. `is_forced`: whether an admin asked."""

    def save(self, index: I, sequence: int, epoch: int) -> None:
        """Save the layout of an index that was just made, as of `sequence`, under the id `epoch`. From now on the index
        uses the file's arrays for its own, where they can be mapped. Raises DiskFull, StorageFailure."""

    def adopt(self) -> None:
        """What was made last is saved and answers."""

    def read(self) -> tuple[I, int, int]:
        """The index of the files, the sequence it stands at, and its id; raises CorruptData, FileNotFoundError."""

    def loaded(self, index: I) -> None:
        """`index` was read and is the collection's: read what is known of it beside the layout."""

    def show(self, index: I) -> None:
        """Searches may hold states of this index from now on."""

    def leave(self) -> None:
        """The last successor is about to answer: it does without what had ended when it was begun."""

    def drop(self, index: I) -> None:
        """The index is forgotten, but searches under way may go on reading it."""

    def upkeep(self, index: I) -> NDArray[np.uint32]:
        """Give back what nobody reads any more; returns slots that the index may use again."""

    @property
    def is_retraining_wanted(self) -> bool:
        """Whether an admin waits for a layout with a new model."""

    def finish_retraining(self, error: str = "") -> None:
        """It is done, or failed."""

    def should_measure(self, index: I) -> bool:
        """Whether what its searches find should be measured."""

    def measure(self, index: I, sequence: int, check: Check) -> None:
        """Measure it."""

    def prefault(self) -> None:
        """Have the system read all of these vectors into RAM; nothing waits for it."""

    def distrust(self) -> None:
        """Never load the layout again. From any thread. Raises OSError."""

    def remove(self) -> None:
        """Remove the files. Raises OSError."""

    def close(self) -> None:
        """Let the files go."""
