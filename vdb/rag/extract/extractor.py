"""Documents to chunks, with limits: what callers use."""

from vdb.config import GIB, Limits
from vdb.errors import DocumentTooLarge
from vdb.rag.chunk import ChunkOptions, check_options
from vdb.rag.extract.formats import MARKDOWN, TEXT, Parsed, parse, plain_media_type
from vdb.rag.extract.wire import Ask
from vdb.rag.extract.workers import Workers

__all__ = ["Extractor"]

_HERE_BYTES = 16 << 10
"""Text and Markdown of up to so many bytes are read in this process: that takes a few milliseconds, whatever they hold.
The rest would keep other threads from the interpreter's lock."""


class Extractor:
    """Reads documents. Safe to use from many threads; whoever made it closes it.

    HTML, PDF and long texts are read by worker processes, which are started when first needed: up to `n_workers`, each
    with `memory_bytes` of address space, `cpu_s` seconds of processor time per document, four times that by the clock.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        n_workers: int = 2,
        cpu_s: float = 30.0,
        memory_bytes: int = 1 * GIB,
    ) -> None:
        self._limits = limits or Limits()
        self._workers = Workers(n_workers, cpu_s, memory_bytes)
        self._cpu_s = cpu_s

    def parse(self, data: bytes, media_type: str, options: ChunkOptions) -> Parsed:
        """The chunks of a document. `media_type` may carry parameters; `MEDIA_TYPES` are read.

        Raises UnreadableDocument (not of its format, damaged, encrypted, without text, too much work), DocumentTooLarge
        (more bytes or chunks than a document may have), InvalidArgument (options out of bounds), ShuttingDown (closed).
        """
        check_options(options)
        plain = plain_media_type(media_type)
        limits = self._limits
        if len(data) > limits.max_document_bytes:
            raise DocumentTooLarge(f"a document has up to {limits.max_document_bytes:,} bytes")
        if plain in (TEXT, MARKDOWN) and len(data) <= _HERE_BYTES:
            return parse(data, plain, options, limits.max_chunks_per_document)
        return self._workers.parse(Ask(data, plain, options, limits.max_chunks_per_document, self._cpu_s))

    def close(self) -> None:
        """Ends the worker processes; documents in hand are refused with ShuttingDown."""
        self._workers.close()
