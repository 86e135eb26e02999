"""Which use case answers which operation on documents."""

from collections.abc import Callable
from typing import Any

from vdb.engine.document_puts import put_documents
from vdb.engine.documents import delete_documents, get_documents, list_documents
from vdb.engine.services import Services
from vdb.types import Caller

DOCUMENT_HANDLERS: dict[str, Callable[[Services, Caller, tuple[str, ...], Any], Any]] = {
    "put_documents": put_documents,
    "list_documents": list_documents,
    "get_documents": get_documents,
    "delete_documents": delete_documents,
}
