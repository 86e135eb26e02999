"""Counts of what collections on disk do: searches and the pages they read, folds."""

from dataclasses import dataclass

PAGE_BYTES = 4096


@dataclass(slots=True)
class ListFigures:
    """Of the searches of one collection on disk since it was opened: queries, and pages of 4 KiB that they read, of
    lists and of vectors, wherever those came from. Searches that race each other may not all be counted."""

    n_queries: int = 0
    n_pages: int = 0

    @property
    def n_bytes(self) -> int:
        return PAGE_BYTES * self.n_pages


@dataclass(frozen=True, slots=True)
class Folds:
    """Counted since the collection was opened: folds, rows that were late, lists that were split, rows that went to
    another list."""

    n: int = 0
    n_rows: int = 0
    n_split: int = 0
    n_moved: int = 0

    def plus(self, more: "Folds") -> "Folds":
        """These and more of them."""
        return Folds(
            self.n + more.n, self.n_rows + more.n_rows, self.n_split + more.n_split, self.n_moved + more.n_moved
        )
