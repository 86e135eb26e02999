"""The built-in embedder: no model, no download. Texts are near each other where they share words, or parts of words.

A text's words, case and compatibility forms folded, each count 1 + ln(how often), function words a tenth of it. A word
counts with itself and with its 3- to 5-grams, 1.5 of its weight shared out among them by the square root of how many
they are; runs of Han and kana count as pairs of characters. All are added up by hashed signs
(`vdb/kernels/cpu/sketch.py`), and the sums divided by their norm. It is lexical: it knows of no meaning and of no
synonyms, and of no corpus, so a rare word counts as much as a common one.

Version 1 is for ever: these rules, the function words and the constants of the kernel never change under that name.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import numpy as np

import vdb.kernels as kernels
from vdb.rag.embed.base import Float32s, check_dimension
from vdb.rag.embed.function_words import FUNCTION_WORDS

__all__ = ["LEAST_DIMENSION", "LEXICAL", "MOST_DIMENSION", "Lexical"]

LEXICAL: Final = "lexical"
"""The name of the embedder; no other may have it."""
LEAST_DIMENSION: Final = 32
MOST_DIMENSION: Final = 1 << 16

_UNIT: Final = 64
"""The weight of a word that stands once; a tenth of it is rounded."""
_TABLE: Final = 256
"""Counts beyond are taken for the last that has an entry."""

_RUN = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(r"[^\W_]{1,64}")
"""What is longer is cut."""
_HAS_RUN = re.compile(f"[{_RUN}]")
_RUN_OR_WORD = re.compile(rf"([{_RUN}]+)|[^\W_{_RUN}]{{1,64}}")

_COUNTED = [1.0 + math.log(n) for n in range(1, _TABLE)]
_WEIGHTS = [0] + [round(_UNIT * counted) for counted in _COUNTED]
_FUNCTION_WEIGHTS = [0] + [round(_UNIT * counted / 10) for counted in _COUNTED]
_GRAM_WEIGHTS = np.array([0] + [round(_UNIT * 1.5 / math.sqrt(n)) for n in range(1, _TABLE)], np.int32)


class Lexical:
    """Stateless: any thread, nothing to close."""

    name = LEXICAL
    version = "1"
    least_dimension = LEAST_DIMENSION
    most_dimension = MOST_DIMENSION
    is_quick = True

    def embed_queries(self, texts: Sequence[str], dimension: int) -> Float32s:
        """As `embed_documents`: both sides are the same."""
        return self.embed_documents(texts, dimension)

    def embed_documents(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Unit rows, float32 (n, dimension); zeros for a text without a letter or digit. Raises ModelMismatch."""
        check_dimension(self, dimension)
        sums = np.zeros((len(texts), dimension), np.int64)
        sketch_words = kernels.current().sketch_words
        for row, text in zip(sums, texts, strict=True):
            counts = Counter(_words(text))
            if not counts:
                continue
            marked = [f"<{word}>" for word in counts]
            characters = np.frombuffer("".join(marked).encode("utf-32-le"), "<u4").astype(np.uint32, copy=False)
            ends = np.fromiter(accumulate(map(len, marked)), np.int64, len(marked))
            weights = np.fromiter(map(_weight, counts.items()), np.int32, len(counts))
            sketch_words(characters, ends, weights, _GRAM_WEIGHTS, row)
        rows = sums.astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        unit: Float32s = (rows / np.maximum(norms, 1.0)[:, None]).astype(np.float32)
        return unit

    def close(self) -> None:
        """Nothing to close."""


def _words(text: str) -> list[str]:
    if text.isascii():
        return _WORD.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).casefold()
    if _HAS_RUN.search(text) is None:
        return _WORD.findall(text)
    return [word for match in _RUN_OR_WORD.finditer(text) for word in _parts(match)]


def _parts(match: re.Match[str]) -> list[str]:
    """A word, or the pairs of neighbours of a run; a run of one character is a word."""
    run = match[1]
    if run is None or len(run) == 1:
        return [match[0]]
    return [run[i : i + 2] for i in range(len(run) - 1)]


def _weight(counted: tuple[str, int]) -> int:
    word, count = counted
    table = _FUNCTION_WEIGHTS if word in FUNCTION_WORDS else _WEIGHTS
    return table[min(count, _TABLE - 1)]
