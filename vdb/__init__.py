"""vdb: a multi-tenant vector database. `vdb.open` uses it in process; `vdb.client` talks to a server.

Importing this package loads nothing heavy: the engine comes with the first `open`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from vdb.local import Database

__all__ = ["__version__", "open"]

__version__ = "0.1.0"


def open(path: "str | PathLike[str]", tenant: str | None = None, **settings: object) -> "Database":
    """Open the data directory at `path` in this process, made where missing; close it after use (a context manager).

    `tenant` is whom points are read and written for unless `collection(..., tenant=...)` says otherwise; `settings` are
    fields of `vdb.config.Settings`. Raises DirectoryLocked while another process holds the directory, FormatTooNew,
    CorruptData.
    """
    from vdb.local import open_database

    return open_database(path, tenant, settings)
