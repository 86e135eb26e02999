"""Questions with their answers in files, plain or `.gz`, UTF-8: JSON Lines, or SQuAD's own form.

JSON Lines: `question` (or `text`), `answers` (texts; none: there is no answer) and maybe `id`, `relevant` (what holds
one: documents or points), `tenant`, `vector`. SQuAD: one JSON object with `data`, as versions 1.1 and 2.0.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from vdb.errors import InvalidArgument

MAX_FILE_BYTES = 1 << 30


class AnsweredQuestion(Struct, frozen=True):
    """A question; without `answers` there is none. `relevant`: what holds one, where it is known."""

    id: str
    text: str
    answers: tuple[str, ...]
    relevant: tuple[str, ...] = ()
    tenant: str | None = None
    vector: tuple[float, ...] | None = None


class _Line(Struct):
    question: str = ""
    text: str = ""
    answers: list[str] = []
    id: str | int | None = None
    relevant: list[str] | str = []
    tenant: str | None = None
    vector: list[float] | None = None


class _Text(Struct):
    text: str


class _Asked(Struct):
    question: str
    id: str
    answers: list[_Text] = []


class _Paragraph(Struct):
    qas: list[_Asked]


class _Article(Struct):
    paragraphs: list[_Paragraph]


class _Squad(Struct):
    data: list[_Article]


def read_questions(path: Path) -> list[AnsweredQuestion]:
    """The questions of a file, in its order; raises InvalidArgument that names the line."""
    content = _content(path)
    try:
        squad = msgspec.json.decode(content, type=_Squad)
    except (msgspec.DecodeError, UnicodeDecodeError):
        questions = list(_of_lines(path, content))
    else:
        questions = list(_of_squad(squad))
    if not questions:
        raise InvalidArgument(f"{path} holds no questions")
    if len({question.id for question in questions}) < len(questions):
        raise InvalidArgument(f"{path}: two questions have one id")
    return questions


def _of_squad(squad: _Squad) -> Iterator[AnsweredQuestion]:
    for article in squad.data:
        for paragraph in article.paragraphs:
            for asked in paragraph.qas:
                answers = tuple(dict.fromkeys(answer.text for answer in asked.answers))
                yield AnsweredQuestion(asked.id, asked.question, answers)


def _of_lines(path: Path, content: bytes) -> Iterator[AnsweredQuestion]:
    decoder: Any = msgspec.json.Decoder(_Line)
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        try:
            given = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise InvalidArgument(f"{path}, line {number}: {exc}") from exc
        text = given.question or given.text
        if not text.strip():
            raise InvalidArgument(f"{path}, line {number}: a question needs a `question`")
        relevant = [given.relevant] if isinstance(given.relevant, str) else given.relevant
        vector = None if given.vector is None else tuple(given.vector)
        name = str(number) if given.id is None else str(given.id)
        yield AnsweredQuestion(name, text, tuple(given.answers), tuple(relevant), given.tenant, vector)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as exc:
        raise InvalidArgument(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    if len(content) > MAX_FILE_BYTES:
        raise InvalidArgument(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content
