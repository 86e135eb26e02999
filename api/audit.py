"""Management on its way to the audit log: what HTTP knows of an attempt, written by a thread before the answer goes.

The lines and the file are `vdb.engine.audit`'s.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec

from vdb.engine.audit import OK, AuditLog, entry_of, is_audited
from vdb.errors import VdbError
from vdb.protocol.operations import Operation

from .exchange import Exchange
from .forwarded import Origin


class _Made(msgspec.Struct):
    """Of an answer, the id of what was made. Its secret is not even decoded."""

    id: str | int | None = None


_decode_made = msgspec.json.Decoder(_Made).decode


class Audit:
    """Notes attempts in a log. Belongs to one event loop; `close` it after the last request."""

    def __init__(self, log: AuditLog, origin: Origin) -> None:
        self._log = log
        self._origin = origin
        self._writer = ThreadPoolExecutor(1, "vdb-audit")  # a disk that is slow must not hold up the loop

    @property
    def n_lost(self) -> int:
        """Lines that could not be written."""
        return self._log.n_lost

    async def note(
        self, exchange: Exchange, operation: Operation, path: tuple[str, ...], error: VdbError | None, body: bytes
    ) -> None:
        """Write the line of an attempt, if it is one of management; `body` is the answer where there was no error."""
        if not is_audited(operation, error):
            return
        entry = entry_of(
            operation,
            path,
            exchange.asked,
            exchange.caller,
            OK if error is None else error.code,
            client=self._origin.client_of(exchange.scope),
            request_id=exchange.request_id,
            made=_decode_made(body).id if error is None and operation.method == "POST" else None,
        )
        await asyncio.get_running_loop().run_in_executor(self._writer, self._log.write, entry)

    def close(self) -> None:
        """Finish the lines under way and close the log."""
        self._writer.shutdown()
        self._log.close()
