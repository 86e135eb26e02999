"""What a server in a race is: how it is started and stopped, and what its clients are told."""

import os
import pwd
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.race.process import Start

__all__ = ["Command", "Program", "unprivileged"]


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, what its environment has beside ours, and as whom it runs; None: as we do."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None


class Program(ABC):
    """One server: its data lies in a folder of its own, its port is chosen by the race."""

    requirements: ClassVar[tuple[str, ...]] = ()
    """Packages of its environment, server and client, with their releases; none for ours."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """What ends it as an operator would; it gets this too where the race itself ends without a word."""

    reads_settings_at_start: ClassVar[bool] = False
    """Whether a search parameter that a client sets holds from the next start on: then it is started again."""

    def prepare(self, folder: Path) -> None:
        """Make what the server needs before its first start. Raises LeftOut where that fails."""
        del folder

    @abstractmethod
    def command(self, folder: Path, port: int) -> Command:
        """What is run: a server on 127.0.0.1 that keeps its data in `folder`."""

    @abstractmethod
    def client(self, port: int) -> Start:
        """The program of a client (`bench/race/peers/contender.py`) that asks the server at this port."""

    def is_ready(self, port: int) -> bool:
        """Whether a server that takes connections says that it can answer."""
        del port
        return True


def unprivileged() -> int | None:
    """A user for servers that refuse to run as root; None where we are not root ourselves."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
