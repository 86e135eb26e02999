"""Which use case answers which operation on documents; what reads them."""

from collections.abc import Callable
from typing import Any

from vdb.config import Settings
from vdb.engine.document_puts import put_documents
from vdb.engine.documents import delete_documents, get_documents, list_documents
from vdb.engine.services import Services
from vdb.rag.extract import Extractor
from vdb.types import Caller

DOCUMENT_HANDLERS: dict[str, Callable[[Services, Caller, tuple[str, ...], Any], Any]] = {
    "put_documents": put_documents,
    "list_documents": list_documents,
    "get_documents": get_documents,
    "delete_documents": delete_documents,
}


def extractor_of(settings: Settings) -> Extractor:
    """What reads documents, with the bounds that the settings give it; it starts nothing before the first document."""
    return Extractor(
        settings.limits,
        n_workers=settings.n_parsers,
        cpu_s=settings.parse_timeout_s,
        memory_bytes=settings.parse_memory_bytes,
    )
