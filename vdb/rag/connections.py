"""The connections to one address: kept while they are good, all ended by a close."""

import threading

from vdb.errors import ModelUnavailable
from vdb.rag.connection import Address, TimedConnection

__all__ = ["Connections"]


class Connections:
    """Any thread may take and give back; whoever made it closes it, which ends what is under way."""

    def __init__(self, name: str, address: Address) -> None:
        """`name` is what errors call the server."""
        self._name, self._address = name, address
        self._lock = threading.Lock()
        self._idle: list[TimedConnection] = []
        self._busy: set[TimedConnection] = set()
        self.closed = threading.Event()

    def take(self) -> TimedConnection:
        """One that was kept, or else a new one; raises ModelUnavailable after a close."""
        with self._lock:
            self.check_open()
            connection = self._idle.pop() if self._idle else TimedConnection(self._address)
            self._busy.add(connection)
        return connection

    def give_back(self, connection: TimedConnection, is_kept: bool) -> None:
        """Let go of one; `is_kept`: it can be used again."""
        with self._lock:
            self._busy.discard(connection)
            if is_kept and not self.closed.is_set():
                self._idle.append(connection)
                return
        connection.close()

    def check_open(self) -> None:
        """Raise ModelUnavailable after a close."""
        if self.closed.is_set():
            raise ModelUnavailable(f"{self._name} is not asked any more: the server is shutting down")

    def close(self) -> None:
        """Calls under way fail, later ones are refused."""
        with self._lock:
            self.closed.set()
            idle, busy = self._idle.copy(), self._busy.copy()
            self._idle.clear()
        for connection in idle:
            connection.close()
        for connection in busy:  # whoever uses it closes it
            connection.end()
