"""Answers in the form of the TREC 2024 RAG track: sentences, each with the places of what it cites among references.

The rules: at most 20 references, none twice; at most 400 words, counted between white space after NFKC; places within
the references, at most three of a sentence. Source: castorini/ragnarok, `rag24_validation.py`. An answer that has more
is cut from its end; references that nothing cites any more are left out, the rest keep their order.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from vdb.protocol.answer_answers import CitedAnswer, Reference

__all__ = ["MOST_REFERENCES", "MOST_WORDS", "trec_rag", "validate"]

MOST_REFERENCES = 20
MOST_WORDS = 400
_MOST_CITATIONS = 3
_MEMBERS = ("run_id", "topic_id", "topic", "references", "response_length", "answer")


def trec_rag(answer: CitedAnswer, question: str, topic_id: str, run_id: str) -> dict[str, Any]:
    """The record of an answer: it passes `validate`, unless the run or the topic has no name."""
    names = _names(answer.references)
    said: list[tuple[str, list[str]]] = []
    kept: dict[str, None] = {}
    room = MOST_WORDS
    for sentence in answer.answer:
        words = sentence.text.split()
        if not words:
            continue
        text = sentence.text if _n_words(sentence.text) <= room else _cut(words, room)
        if not text:
            break
        room -= _n_words(text)
        cited = list(dict.fromkeys(names[place] for place in sentence.citations))[:_MOST_CITATIONS]
        for name in cited:
            if len(kept) < MOST_REFERENCES:
                kept.setdefault(name)
        said.append((text, [name for name in cited if name in kept]))
        if text != sentence.text:
            break
    references = [name for name in dict.fromkeys(names) if name in kept]
    places = {name: place for place, name in enumerate(references)}
    return {
        "run_id": run_id,
        "topic_id": topic_id,
        "topic": question,
        "references": references,
        "response_length": MOST_WORDS - room,
        "answer": [{"text": text, "citations": [places[name] for name in cited]} for text, cited in said],
    }


def validate(record: Mapping[str, Any]) -> list[str]:
    """What is wrong with a record, in words; nothing where it is valid."""
    faults = [f"{member} is missing" for member in _MEMBERS if member not in record]
    faults += [f"{name} is empty" for name in ("run_id", "topic_id", "topic") if not str(record.get(name, "-")).strip()]
    references, sentences = record.get("references", []), record.get("answer", [])
    if not _is_list(references, str) or not _is_list(sentences, Mapping):
        return [*faults, "references is a list of ids, answer a list of sentences"]
    if len(references) > MOST_REFERENCES:
        faults.append(f"{len(references)} references: at most {MOST_REFERENCES}")
    if len(set(references)) < len(references):
        faults.append("a reference stands twice")
    cited: set[int] = set()
    for at, sentence in enumerate(sentences):
        faults += [f"sentence {at}: {fault}" for fault in _faults(sentence, len(references))]
        if _is_list(sentence.get("citations"), int):
            cited.update(sentence["citations"])
    if uncited := set(range(len(references))) - cited:
        faults.append(f"nothing cites reference {min(uncited)}")
    n_words = sum(_n_words(str(sentence.get("text", ""))) for sentence in sentences)
    if n_words > MOST_WORDS:
        faults.append(f"{n_words} words: at most {MOST_WORDS}")
    if record.get("response_length", n_words) != n_words:
        faults.append(f"response_length is not {n_words}")
    return faults


def _faults(sentence: Mapping[str, Any], n_references: int) -> list[str]:
    text, citations = sentence.get("text"), sentence.get("citations")
    if not isinstance(text, str) or not text.strip():
        return ["text is missing"]
    if not _is_list(citations, int):
        return ["citations is a list of places"]
    assert isinstance(citations, list)
    faults = [f"{place} is no place of a reference" for place in citations if not 0 <= place < n_references]
    if len(citations) > _MOST_CITATIONS:
        faults.append(f"{len(citations)} citations: at most {_MOST_CITATIONS}")
    if len(set(citations)) < len(citations):
        faults.append("cites a reference twice")
    return faults


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) and not isinstance(one, bool) for one in value)


def _names(references: Sequence[Reference]) -> list[str]:
    """The ids of references; with their owners, where points of several have the same."""
    ids = [reference.id for reference in references]
    if len(set(ids)) == len(ids):
        return ids
    return [f"{reference.owner}/{reference.id}" for reference in references]


def _n_words(text: str) -> int:
    return len(unicodedata.normalize("NFKC", text).split())


def _cut(words: Sequence[str], room: int) -> str:
    """As many words from the beginning as fit."""
    kept: list[str] = []
    for word in words:
        room -= _n_words(word)
        if room < 0:
            break
        kept.append(word)
    return " ".join(kept)
