"""Documents to chunks, with limits: what callers use."""

from vdb.config import Limits
from vdb.errors import DocumentTooLarge
from vdb.rag.chunk import ChunkOptions, check_options
from vdb.rag.extract.formats import Parsed, parse, plain_media_type

__all__ = ["Extractor"]


class Extractor:
    """Reads documents. Safe to use from many threads; whoever made it closes it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def parse(self, data: bytes, media_type: str, options: ChunkOptions) -> Parsed:
        """The chunks of a document. `media_type` may carry parameters; `MEDIA_TYPES` are read.

        Raises UnreadableDocument (not of its format, damaged, encrypted, without text), DocumentTooLarge (more bytes or
        chunks than a document may have), InvalidArgument (options out of bounds).
        """
        check_options(options)
        plain = plain_media_type(media_type)
        if len(data) > self._limits.max_document_bytes:
            raise DocumentTooLarge(f"a document has up to {self._limits.max_document_bytes:,} bytes")
        return parse(data, plain, options, self._limits.max_chunks_per_document)

    def close(self) -> None:
        """Ends what it has started."""
