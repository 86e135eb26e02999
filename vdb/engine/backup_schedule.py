"""Backups on a schedule: one per interval of UTC, named by its moment, the newest of them kept.

Whether one is due follows from the names in the folder, so a restart neither repeats a backup nor forgets one: what was
missed while the server was down is made at the start. Retention removes scheduled backups only, and only after a newer
one is whole on disk.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import inf

from vdb.engine.backup import backup_folder, make_backup
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.errors import Conflict, InvalidArgument, ShuttingDown, VdbError
from vdb.storage.backup import BackupFolder

logger = logging.getLogger(__name__)

LEAST_INTERVAL_S = 60.0
RETRY_S = 300.0
"""After a backup that failed; the interval where that is shorter."""

LOOK_S = 30.0
"""How often the clock is looked at: it may be set while a server runs."""

_FORM = "auto-%Y%m%d-%H%M%S"
_NAME = re.compile(r"auto-\d{8}-\d{6}")


def name_at(moment_ms: int) -> str:
    """The name of the scheduled backup begun at a moment, such as `auto-20261120-140000`."""
    return datetime.fromtimestamp(moment_ms // 1000, UTC).strftime(_FORM)


def moment_ms_of(name: str) -> int | None:
    """When a scheduled backup was begun; None for another's name."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return int(datetime.strptime(name, _FORM).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:  # digits that are no date
        return None


def is_due(now_ms: int, moments_ms: Iterable[int], interval_ms: float) -> bool:
    """Whether the interval of `now_ms` has no backup yet; those of a clock that was ahead count for theirs only."""
    return all(moment_ms // interval_ms != now_ms // interval_ms for moment_ms in moments_ms)


def surplus(names: Iterable[str], n_kept: int, now_ms: int) -> list[str]:
    """The scheduled backups beyond the newest `n_kept`, oldest first; those of a clock that was ahead are left."""
    moments_ms = {name: moment_ms_of(name) for name in names}
    past = sorted(name for name, moment_ms in moments_ms.items() if moment_ms is not None and moment_ms <= now_ms)
    return past[: max(0, len(past) - n_kept)]


class BackupSchedule:
    """Makes the scheduled backups on a thread of its own; idle where `backup_interval_s` is 0.

    `start` once; `stop` waits for the environment in hand: a backup that is not finished is given up. The figures are
    read from any thread.
    """

    def __init__(self, services: Services, clock_ms: Callable[[], int] = epoch_ms) -> None:
        self._services = services
        self._clock_ms = clock_ms
        self._interval_ms = services.settings.backup_interval_s * 1000
        self._n_kept = services.settings.backup_keep
        self._retry_at = 0.0
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdb-backups", daemon=True)
        self.n_made = 0
        self.n_failed = 0
        self.last_ms: int | None = None

    def start(self) -> None:
        """Raises InvalidArgument for settings that cannot be kept to."""
        if not self._services.settings.backup_interval_s:
            return
        if not LEAST_INTERVAL_S <= self._services.settings.backup_interval_s < inf:
            raise InvalidArgument(f"backup_interval_s is 0, or {LEAST_INTERVAL_S:g} and more")
        if self._n_kept < 1:
            raise InvalidArgument("backup_keep is 1 and more")
        backup_folder(self._services)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def step(self) -> str | None:
        """Make the backup that is due, if one is, then remove what is surplus; the name of what was made.

        Raises VdbError; what was made stays made.
        """
        folder = backup_folder(self._services)
        moments = [moment for name in folder.names() if (moment := moment_ms_of(name)) is not None]
        now_ms = self._clock_ms()
        self.last_ms = max((moment for moment in moments if moment <= now_ms), default=None)
        if not is_due(now_ms, moments, self._interval_ms):
            return None
        name = name_at(now_ms)
        make_backup(self._services, name)
        self.n_made += 1
        self.last_ms = moment_ms_of(name)
        self._remove_surplus(folder, now_ms)
        return name

    def _remove_surplus(self, folder: BackupFolder, now_ms: int) -> None:
        for name in surplus(folder.names(), self._n_kept, now_ms):
            folder.delete(name)
            logger.info("scheduled backup removed", extra={"fields": {"backup": name}})

    def _run(self) -> None:
        wait_s = 0.0
        while not self._is_stopping.wait(wait_s):
            wait_s = min(LOOK_S, self._interval_ms / 1000)
            if time.monotonic() < self._retry_at:
                continue
            try:
                name = self.step()
            except Conflict:  # one that was asked for is being made: look again
                continue
            except ShuttingDown:  # the next start makes what was missed
                return
            except Exception as exc:  # the schedule goes on after a backup that failed
                self.n_failed += 1
                self._retry_at = time.monotonic() + min(RETRY_S, self._interval_ms / 1000)
                level = logging.WARNING if isinstance(exc, VdbError) else logging.ERROR
                logger.log(level, "scheduled backup failed", exc_info=exc)
                continue
            if name is not None:
                logger.info("scheduled backup made", extra={"fields": {"backup": name}})
