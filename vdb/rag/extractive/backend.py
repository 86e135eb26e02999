"""The backend `extractive`: answers are the best sentences of the passages, word for word, each with its citation.

It has no model, asks nobody and says the same each time. A sentence is worth what `WEIGHTS` make of its features
(`vdb/rag/extractive/features.py`); ties go to the earlier passage, then to the earlier sentence.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from vdb.rag.analysis import analyser_of
from vdb.rag.citations import quoted
from vdb.rag.extractive.analysed import CODE, HEADING, PROSE, ROW, SHARED, Analysed
from vdb.rag.extractive.features import rows_of
from vdb.rag.extractive.question import context_of, read, weights_among
from vdb.rag.extractive.weights import WEIGHTS
from vdb.rag.generate.base import Asked, Cancelled, Generated, Stop, TokenCounter, Usage
from vdb.rag.passage import Passage
from vdb.rag.sentences import sentences

__all__ = ["EXTRACTIVE", "CharacterCounter", "Extractive"]

EXTRACTIVE: Final = "extractive"
"""The name of the backend; no other may have it."""

_MOST_SENTENCES: Final = 3
_LEAST_SHARE: Final = 0.4
"""A sentence is added that is likely to be the answer by so much of what the best one is."""
_DEMERITS: Final = {PROSE: 0.0, ROW: 2.0, CODE: 4.0, HEADING: 6.0}
"""Logits: a row of a table is said where no sentence is nearly as good, a heading hardly ever."""
_LONG_SENTENCE: Final = 400
"""Characters; each so many more are worth a logit."""
_LONGEST_SENTENCE: Final = 600
"""Characters of a sentence that are said: what is longer is a table, code, or a text without full stops."""
_CHARACTERS_PER_TOKEN: Final = 4


class CharacterCounter:
    """Tokens of this backend are four characters each, the last one fewer: nothing else is a token to it."""

    is_exact: bool = True

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [-(-len(text) // _CHARACTERS_PER_TOKEN) for text in texts]


class Extractive:
    """Any thread may call it; closing it does nothing."""

    name = EXTRACTIVE
    model = EXTRACTIVE
    context_tokens = 8_192
    max_tokens = 1_024
    message_tokens = 0
    categories: frozenset[str] = frozenset()
    load = 0.0
    is_verbatim = True
    """What it says is `quoted`: whoever reads its markers takes the escapes out again."""

    def __init__(self) -> None:
        self.counter: TokenCounter = CharacterCounter()
        self._analyses = SHARED

    def generate(self, asked: Asked, emit: Callable[[str], None], stop: Stop) -> Generated:
        """Raises Cancelled. An empty text where no passage has a sentence; KeyError for an unknown language."""
        said: list[str] = []
        finish_reason = "stop"
        room = (self.max_tokens if asked.max_tokens is None else asked.max_tokens) * _CHARACTERS_PER_TOKEN
        for text in self._sentences(asked):
            if stop.is_requested:
                raise Cancelled
            piece, is_ended = _until(asked.stop, text)
            if len(piece) > room:
                piece, is_ended, finish_reason = piece[:room], True, "length"
            if piece:
                said.append(piece)
                room -= len(piece)
                emit(piece)
            if is_ended:
                break
        text = "".join(said)
        prompt, completion = (
            sum(self.counter.count([one.content for one in asked.messages])),
            self.counter.count([text])[0],
        )
        return Generated(
            text,
            "length" if finish_reason == "length" else "stop",
            Usage(prompt, completion, is_counted=False),
            self.model,
        )

    def close(self) -> None:
        """Nothing to close."""

    def _sentences(self, asked: Asked) -> Iterator[str]:
        """What is said, best first, each with its marker."""
        apart = ""
        for i, sentence in self._best(asked):
            yield f"{apart}{quoted(sentence)} [{i + 1}]"
            is_ended = len(sentences(f"{sentence} The")) > len(sentences(sentence))
            apart = " " if is_ended else "\n\n"

    def _best(self, asked: Asked) -> list[tuple[int, str]]:
        """Passage and text of the best sentences; the first of all where none has a word of the question."""
        analyser = analyser_of(asked.language)
        passages = [self._analyses.of(passage.text, analyser) for passage in asked.passages]
        terms = analyser.terms(asked.question)
        weights = weights_among(terms, passages) if asked.weights is None else asked.weights
        contexts = [context_of(passage, analyser) for passage in asked.passages]
        rows = rows_of(
            read(asked.question, analyser, weights), passages, contexts, [one.score for one in asked.passages]
        )
        values = rows.features @ WEIGHTS - [_demerit(passages[i], j) for i, j in rows.places]
        chosen: list[tuple[int, str]] = []
        for place in np.argsort(-values, kind="stable").tolist():
            if chosen and math.exp(values[place] - values.max()) < _LEAST_SHARE:
                break
            i, j = rows.places[place]
            sentence = _said(asked.passages[i], *passages[i].spans[j])
            if all(sentence != other for _, other in chosen):
                chosen.append((i, sentence))
            if len(chosen) == _MOST_SENTENCES:
                break
        if not chosen:
            every = [(_demerit(one, j), i, j) for i, one in enumerate(passages) for j in range(len(one.spans))]
            chosen = [(i, _said(asked.passages[i], *passages[i].spans[j])) for _, i, j in sorted(every)[:1]]
        return chosen


def _demerit(passage: Analysed, sentence: int) -> float:
    """What speaks against a sentence as an answer, whatever it says: it is none, or far too long."""
    start, end = passage.spans[sentence]
    return _DEMERITS[passage.forms[sentence]] + max(0, end - start - _LONG_SENTENCE) / _LONG_SENTENCE


def _said(passage: Passage, start: int, end: int) -> str:
    """A sentence on one line, cut at a word where it is far too long."""
    text = " ".join(passage.text[start:end].split())
    if len(text) <= _LONGEST_SENTENCE:
        return text
    return text[:_LONGEST_SENTENCE].rpartition(" ")[0] or text[:_LONGEST_SENTENCE]


def _until(stops: Sequence[str], text: str) -> tuple[str, bool]:
    """The text up to the first of `stops`, and whether one was there."""
    found = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)
