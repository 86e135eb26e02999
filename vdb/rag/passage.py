"""A passage: a chunk as it goes into the context that an answer is written from."""

from msgspec import Struct

__all__ = ["Passage"]


class Passage(Struct, frozen=True, gc=False):
    """`score` is that of its search, higher is better; `document` and `title` are "" where the point has none."""

    id: str
    owner: str
    version: int
    text: str
    score: float
    title: str = ""
    heading: tuple[str, ...] = ()
    document: str = ""
    chunk: int | None = None
    start: int | None = None
    end: int | None = None
    """Characters in the source of the document."""
    page: int | None = None
