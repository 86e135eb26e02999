"""Pages of the catalog's listings: the cursor is the key of the last thing shown."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from vdb.config import Limits
from vdb.errors import InvalidArgument, InvalidCursor
from vdb.protocol.requests import ListPage
from vdb.storage.keyspace import LAST_NUMBER, Space, number_key

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
    if request.cursor is None:
        return b""
    is_number = request.cursor.isascii() and request.cursor.isdecimal() and len(request.cursor) <= MAX_DIGITS
    if not is_number or int(request.cursor) > LAST_NUMBER:
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    return number_key(space, int(request.cursor))[1:]
