"""Queries, judgements and runs in files, plain or `.gz`, UTF-8, in the forms of BEIR and TREC.

Queries: JSON Lines (`_id` or `id`, `text`, and maybe `tenant`, `vector`), or a TSV of id and text.
Judgements: a TSV of query, document and grade, with a heading or without; JSON Lines of `query-id`, `corpus-id` and
`score`; or TREC's four columns: query, anything, document, grade.
Runs: TREC's six columns: query, anything, document, rank, score, name. Scores, not ranks, give the order.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from vdb.errors import InvalidArgument
from vdb.protocol import strict_json

Qrels = dict[str, dict[str, int]]
"""Grades by query and document; 0 and less is not relevant."""
Run = dict[str, dict[str, float]]
"""Scores by query and document, higher is better."""

MAX_LINE_BYTES = 4 << 20
_FOREIGN = (OSError, EOFError, zlib.error)
_SPACE = re.compile(r"\s")


class Query(Struct, frozen=True):
    """A query; `tenant` None where the caller decides, `vector` None where the server embeds the text."""

    id: str
    text: str
    tenant: str | None = None
    vector: tuple[float, ...] | None = None


def read_queries(path: Path) -> list[Query]:
    """The queries of a file, in its order; raises InvalidArgument that names the line."""
    queries: dict[str, Query] = {}
    for where, line in _lines(path):
        query = _query_of_object(where, line) if line.startswith("{") else _query_of_columns(where, line)
        if query.id in queries:
            raise InvalidArgument(f"{where}: there is a query {query.id!r} before")
        queries[query.id] = query
    if not queries:
        raise InvalidArgument(f"{path} holds no queries")
    return list(queries.values())


def read_qrels(path: Path) -> Qrels:
    """The judgements of a file; of two on one document the later holds. Raises InvalidArgument that names the line."""
    qrels: Qrels = {}
    for number, (where, line) in enumerate(_lines(path)):
        query, document, grade = _judgement(where, line)
        try:
            value = int(float(grade))
        except (ValueError, OverflowError):
            if number == 0 and "\t" in line:
                continue  # the heading
            raise InvalidArgument(f"{where}: {grade[:64]!r} is not a grade") from None
        qrels.setdefault(query, {})[document] = value
    if not qrels:
        raise InvalidArgument(f"{path} holds no judgements")
    return qrels


def read_run(path: Path) -> Run:
    """A run; raises InvalidArgument that names the line."""
    run: Run = {}
    for where, line in _lines(path):
        columns = line.split("\t") if line.count("\t") == 5 else line.split()
        if len(columns) != 6:
            raise InvalidArgument(f"{where}: a run has six columns, not {len(columns)}")
        try:
            score = float(columns[4])
        except ValueError:
            raise InvalidArgument(f"{where}: {columns[4][:64]!r} is not a score") from None
        if not np.isfinite(score):
            raise InvalidArgument(f"{where}: the score is not finite")
        run.setdefault(columns[0], {})[columns[2]] = score
    return run


def write_run(path: Path, run: Mapping[str, Mapping[str, float]], name: str) -> None:
    """Write a run in TREC's form. Raises InvalidArgument for an id with a space, which that form cannot hold."""
    lines = []
    for query, scores in run.items():
        ordered = sorted(scores.items(), key=lambda item: -item[1])
        for rank, (document, score) in enumerate(ordered, 1):
            for text in (query, document):
                if _SPACE.search(text) or not text:
                    raise InvalidArgument(f"the id {text!r} has a space: a run in TREC's form cannot hold it")
            lines.append(f"{query} Q0 {document} {rank} {score!r} {name}\n")
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as exc:
        raise InvalidArgument(f"cannot write {path}: {exc.strerror or exc}") from exc


def strictly_falling(scores: list[float]) -> list[float]:
    """The scores as float32, those that are no lower than the one before moved just below it.

    Tools that read runs order by float32 score and break ties by id, whatever the rank says.
    """
    fallen: list[float] = []
    for score in np.array(scores, np.float32):
        if fallen and score >= fallen[-1]:
            score = np.nextafter(np.float32(fallen[-1]), np.float32(-np.inf))
        fallen.append(float(score))
    return fallen


def _query_of_object(where: str, line: str) -> Query:
    given = _members(where, line)
    name = given.get("_id", given.get("id"))
    name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
    text, tenant, vector = given.get("text"), given.get("tenant"), given.get("vector")
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"{where}: a query needs an `_id`")
    if not isinstance(text, str):
        raise InvalidArgument(f"{where}: a query needs a `text`")
    if tenant is not None and not isinstance(tenant, str):
        raise InvalidArgument(f"{where}: the tenant is not a text")
    if vector is not None:
        try:
            vector = msgspec.convert(vector, tuple[float, ...])
        except msgspec.ValidationError:
            raise InvalidArgument(f"{where}: the vector is not a list of numbers") from None
    return Query(name, text, tenant, vector)


def _query_of_columns(where: str, line: str) -> Query:
    name, tab, text = line.partition("\t")
    if not tab or not name:
        raise InvalidArgument(f"{where}: a query is a JSON object, or an id, a tab and a text")
    return Query(name, text)


def _judgement(where: str, line: str) -> tuple[str, str, str]:
    """Query, document, grade as text."""
    if line.startswith("{"):
        given = _members(where, line)
        try:
            return str(given["query-id"]), str(given["corpus-id"]), str(given["score"])
        except KeyError as exc:
            raise InvalidArgument(f"{where}: a judgement needs {exc}") from None
    columns = line.split("\t")
    if len(columns) == 3:
        return columns[0], columns[1], columns[2]
    columns = columns if len(columns) == 4 else line.split()
    if len(columns) != 4:
        raise InvalidArgument(f"{where}: a judgement has three columns with tabs, or four")
    return columns[0], columns[2], columns[3]


def _members(where: str, line: str) -> dict[str, Any]:
    try:
        given = strict_json.decode(line.encode())
    except InvalidArgument as exc:
        raise InvalidArgument(f"{where}: {exc.detail}") from exc
    if not isinstance(given, dict):
        raise InvalidArgument(f"{where}: not a JSON object")
    return given


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not empty, without their ends, each with its place."""
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise InvalidArgument(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
                if text.strip():
                    yield f"{path}, line {number}", text
    except _FOREIGN as exc:
        raise InvalidArgument(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidArgument(f"{path} is not UTF-8 text") from exc
