"""Documents read: bytes to chunks of text with their places, for text, Markdown, HTML and PDF."""

from vdb.rag.extract.extractor import Extractor
from vdb.rag.extract.formats import MEDIA_TYPES, PARSER_VERSION, Parsed, media_type_of
from vdb.rag.extract.lines import lines_of

__all__ = ["MEDIA_TYPES", "PARSER_VERSION", "Extractor", "Parsed", "lines_of", "media_type_of"]
