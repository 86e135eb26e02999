"""What the elements of HTML mean to a text: which part it into blocks, lines and cells, which are left out."""

import re
from collections.abc import Mapping

__all__ = ["BLOCKS", "CELLS", "HEADINGS", "LINES", "SELF_ENDING", "SKIPPED", "VOID", "LeftOut", "is_hidden"]


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


HEADINGS = {f"h{level}": level for level in range(1, 7)}
"""Headings and their levels."""

BLOCKS = HEADINGS.keys() | _named(
    "address article aside blockquote body center details dialog dir div dl fieldset figcaption figure footer form"
    " header hgroup hr html legend main menu ol p pre section summary table ul"
)
"""Elements that begin and end a block."""

LINES = _named("br caption dd dt li tr")
"""Elements that begin and end a line within a block."""

CELLS = _named("td th")
"""Elements that a tab parts from what is before them."""

SKIPPED = _named(
    "audio canvas datalist embed iframe map math nav noembed noframes noscript object script select style svg template"
    " textarea video"
)
"""Elements whose content is no text to be read."""

VOID = _named("area base br col embed hr img input link meta param source track wbr")
"""Elements without content."""

SELF_ENDING = _named("dd dt li p tbody td tfoot th thead tr")
"""Elements that the next one of their kind ends."""

_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)


def is_hidden(attributes: Mapping[str, str]) -> bool:
    """Whether attributes hide an element from readers, or call it navigation."""
    return (
        attributes.get("hidden", "until-found").lower() != "until-found"
        or attributes.get("aria-hidden", "").lower() == "true"
        or attributes.get("role", "").lower() == "navigation"
        or _HIDDEN_STYLE.search(attributes.get("style", "")) is not None
    )


class LeftOut:
    """An element that is left out, until it ends: by its own end tag, or where that may be missing, by the next of its
    kind or the end of what it lies in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._n_within = 0  # of the elements within it that count, how many are open

    def is_ended_by_start(self, name: str) -> bool:
        if self.name in SELF_ENDING:
            if self._n_within == 0 and (name == self.name or (self.name == "p" and name in BLOCKS)):
                return True
            self._n_within += name not in SELF_ENDING and name not in VOID
        else:
            self._n_within += name == self.name
        return False

    def is_ended_by_end(self, name: str) -> bool:
        if self.name not in SELF_ENDING:
            self._n_within -= name == self.name
            return self._n_within < 0
        if name in SELF_ENDING:
            return name == self.name and self._n_within == 0
        self._n_within -= 1
        return self._n_within < 0
