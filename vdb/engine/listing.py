"""Pages of the catalog's listings: the cursor is the key of the last thing shown."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from vdb.config import Limits
from vdb.errors import InvalidArgument, InvalidCursor
from vdb.protocol.requests import ListPage
from vdb.storage.keyspace import LAST_NUMBER, Space, number_key
from vdb.types import NAME

T = TypeVar("T")

MAX_DIGITS = 10


def page_of(
    things: Iterable[T], request: ListPage, limits: Limits, cursor_of: Callable[[T], str]
) -> tuple[list[T], str | None]:
    """The first `request.limit` things, and the cursor of the next page (None at the end)."""
    if not 1 <= request.limit <= limits.max_scroll_limit:
        raise InvalidArgument.at("/limit", f"limit is 1 to {limits.max_scroll_limit}")
    page = list(islice(things, request.limit + 1))
    if len(page) <= request.limit:
        return page, None
    return page[:-1], cursor_of(page[-2])


def start_after(request: ListPage, space: Space) -> bytes:
    """The key, without its space byte, that a listing by number goes on after; raises InvalidCursor."""
    return number_key(space, number_after(request))[1:] if request.cursor is not None else b""


def number_after(request: ListPage) -> int:
    """The number that a listing goes on after, 0 at its start; raises InvalidCursor."""
    if request.cursor is None:
        return 0
    is_number = request.cursor.isascii() and request.cursor.isdecimal() and len(request.cursor) <= MAX_DIGITS
    if not is_number or int(request.cursor) > LAST_NUMBER:
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    return int(request.cursor)


def name_after(request: ListPage) -> str:
    """The name that a listing goes on after, "" at its start; raises InvalidCursor."""
    after = request.cursor or ""
    if after and not NAME.match(after):
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    return after
