"""A progress bar where tqdm is installed (extra `progress`), silence where not. The only file that imports tqdm."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol


class Bar(Protocol):
    """Counts points that are written."""

    def update(self, n: int) -> object: ...


class _Silent:
    def update(self, n: int) -> None:
        """Nobody looks."""


def is_available() -> bool:
    return find_spec("tqdm") is not None


@contextmanager
def progress_bar(n_points: int, is_shown: bool) -> Iterator[Bar]:
    """A bar of `n_points`, drawn on stderr while `is_shown` and tqdm is there."""
    if not is_shown or not is_available():
        yield _Silent()
        return
    with import_module("tqdm.auto").tqdm(total=n_points, unit="point", unit_scale=True) as bar:
        yield bar
