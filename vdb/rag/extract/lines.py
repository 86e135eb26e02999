"""JSON Lines: a line is a document of its own, as in BEIR (`_id`, `title`, `text`) and Pyserini (`id`, `contents`)."""

from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any, TypedDict

from vdb.errors import DocumentTooLarge, InvalidArgument, InvalidJson, UnreadableDocument, VdbError
from vdb.protocol import strict_json

__all__ = ["LineDocument", "lines_of"]

_MARK = b"\xef\xbb\xbf"
_IDS, _TEXTS = ("id", "_id"), ("text", "contents")


class LineDocument(TypedDict):
    """What a line says. `id` None: it names none. `payload`: all members that are none of the others."""

    id: str | None
    text: str
    title: str | None
    payload: dict[str, Any]


def lines_of(data: bytes | IO[bytes], max_line_bytes: int = 32 << 20) -> Iterator[tuple[int, LineDocument | VdbError]]:
    """Every line that is not empty: its number, from 1, and the document or what is wrong with the line.

    A line holds `text` or `contents`, and may hold `id` or `_id` (text or an integer) and `title`. A longer line than
    `max_line_bytes` is an error and passed over; no more than that is held in memory.
    """
    file = BytesIO(data) if isinstance(data, bytes) else data
    number = 0
    while line := file.readline(max_line_bytes + 1):
        number += 1
        if len(line) > max_line_bytes and not line.endswith(b"\n"):
            while (rest := file.readline(max_line_bytes)) and not rest.endswith(b"\n"):
                continue
            yield number, DocumentTooLarge(f"a line has up to {max_line_bytes:,} bytes")
            continue
        line = (line.removeprefix(_MARK) if number == 1 else line).strip()
        if line:
            yield number, _read(line)


def _read(line: bytes) -> LineDocument | VdbError:
    try:
        members = strict_json.decode(line)
        if not isinstance(members, dict):
            raise InvalidJson("a line is a JSON object")
        return _document(members)
    except VdbError as error:
        return error


def _document(members: dict[str, Any]) -> LineDocument:
    found = _one_of(members, _IDS)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    text, title = _one_of(members, _TEXTS), members.pop("title", None)
    if found is not None and (not isinstance(found, str) or not found):
        raise InvalidArgument("`id` or `_id` is text or an integer")
    if not isinstance(text, str):
        raise UnreadableDocument("a line needs `text` or `contents`, as text")
    if title is not None and not isinstance(title, str):
        raise InvalidArgument("`title` is text")
    return LineDocument(id=found, text=text, title=title or None, payload=members)


def _one_of(members: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the members that is there, taken out."""
    return next((members.pop(name) for name in names if name in members), None)
