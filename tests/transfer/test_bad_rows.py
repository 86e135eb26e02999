"""Bad rows are put aside with number and reason, and the rest of the file is imported."""

import json
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from tests.transfer.importing import Importing
from vdb.transfer import Fields
from vdb.transfer.jsonl import MAX_LINE_BYTES

GOOD = '{"id": "good", "vector": [1, 2]}'

BAD_LINES = {
    "not JSON": ("{", "Expecting"),
    "not an object": ("[1, 2]", "not a JSON object"),
    "another dimension": ('{"id": "a", "vector": [1]}', "the vector has 1 numbers, not 2"),
    "NaN": ('{"id": "a", "vector": [NaN, 1]}', "NaN is not JSON"),
    "beyond float32": ('{"id": "a", "vector": [1e39, 1]}', "beyond float32"),
    "beyond float64": ('{"id": "a", "vector": [1e999, 1]}', "neither a list of numbers"),
    "a huge integer": (f'{{"id": "a", "vector": [{"9" * 5000}, 1]}}', "vector"),
    "numbers as text": ('{"id": "a", "vector": ["1", "2"]}', "neither a list of numbers"),
    "a boolean for a number": ('{"id": "a", "vector": [true, 1]}', "neither a list of numbers"),
    "no vector": ('{"id": "a"}', "no vector"),
    "not base64": ('{"id": "a", "vector": "AAAA!"}', "base64"),
    "no id": ('{"vector": [1, 2]}', "no id"),
    "an id of another type": ('{"id": 1.5, "vector": [1, 2]}', "neither a string nor an integer"),
    "an empty id": ('{"id": "", "vector": [1, 2]}', "invalid_id"),
    "an id that is too long": (f'{{"id": "{"x" * 257}", "vector": [1, 2]}}', "invalid_id"),
    "a lone surrogate": ('{"id": "\\ud800", "vector": [1, 2]}', "surrogate"),
    "an unknown field": ('{"id": "a", "vector": [1, 2], "title": "x"}', "unknown field 'title'"),
    "a key twice": ('{"id": "a", "id": "b", "vector": [1, 2]}', "duplicate key"),
    "a payload of another type": ('{"id": "a", "vector": [1, 2], "payload": [1]}', "payload is not an object"),
    "a payload nested too deep": (
        f'{{"id": "a", "vector": [1, 2], "payload": {"[" * 40 + "]" * 40}}}'.replace('"payload": ', '"payload": {"a": ')
        + "}",
        "nested",
    ),
    "a large payload": (json.dumps({"id": "a", "vector": [1, 2], "payload": {"x": "y" * 70_000}}), "payload_too_large"),
    "an integer beyond 64 bits": (f'{{"id": "a", "vector": [1, 2], "payload": {{"x": {2**70}}}}}', "64 bits"),
    "an expiry without a zone": ('{"id": "a", "vector": [1, 2], "expires_at": "2030-01-01T00:00:00"}', "time zone"),
    "an expiry that is none": ('{"id": "a", "vector": [1, 2], "expires_at": "soon"}', "expires_at"),
    "an expiry beyond time": ('{"id": "a", "vector": [1, 2], "expires_at": "1900-01-01T00:00:00Z"}', "1970"),
    "a grantee that does not exist": ('{"id": "a", "vector": [1, 2], "shared_with": ["nobody"]}', "unknown_grantee"),
    "a sharing list of another type": ('{"id": "a", "vector": [1, 2], "shared_with": "globex"}', "not a list"),
    "nested beyond all stacks": ("[" * 100_000, "nested"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_put_aside(name: str, importing: Importing) -> None:
    line, reason = BAD_LINES[name]
    file = importing.write("a.jsonl", f'{{"id": "first", "vector": [3, 4]}}\n\n{line}\n{GOOD}\n')
    report = importing.run(file)
    (entry,) = importing.rejected(file)
    assert entry["line"] == 3 and reason in entry["reason"], entry
    assert (report.n_rows, report.n_written, report.n_rejected) == (3, 2, 1)
    assert set(importing.points()) == {"first", "good"}
    assert len(json.dumps(entry)) < 40_000


def test_invalid_utf8_is_put_aside(importing: Importing) -> None:
    file = importing.write("a.jsonl", b'{"id": "\xff", "vector": [1, 2]}\n' + GOOD.encode())
    importing.run(file)
    (entry,) = importing.rejected(file)
    assert "UTF-8" in entry["reason"] and entry["value"] == '{"id": "\\xff", "vector": [1, 2]}'


def test_a_line_that_is_too_long_is_passed_over(importing: Importing) -> None:
    long = json.dumps({"id": "a", "vector": [1, 2], "payload": {"x": "y" * (2 * MAX_LINE_BYTES)}})
    file = importing.write("a.jsonl", f"{long}\n{GOOD}\n{long}")
    importing.run(file)
    assert [entry["line"] for entry in importing.rejected(file)] == [1, 3]
    assert set(importing.points()) == {"good"}


def test_of_two_rows_with_one_id_the_later_wins(importing: Importing) -> None:
    rows = [{"id": f"p{i % 7}", "vector": [i, 1], "payload": {"i": i}} for i in range(9_000)]
    file = importing.write("a.jsonl", "\n".join(map(json.dumps, rows)))
    report = importing.run(file)
    assert (report.n_written, report.n_rejected) == (9_000, 0)
    assert {point.payload["i"] for point in importing.points().values()} == set(range(8_993, 9_000))


def test_a_refused_row_does_not_take_an_earlier_one_of_its_id_along(importing: Importing) -> None:
    rows = [{"id": "a", "vector": [1, 2]}, {"id": "a", "vector": [3, 4], "shared_with": ["nobody"]}]
    file = importing.write("a.jsonl", "\n".join(map(json.dumps, rows)))
    importing.run(file)
    assert importing.points()["a"].vector.tolist() == [1, 2]


def test_many_rows_that_the_server_refuses_are_all_put_aside(importing: Importing) -> None:
    rows: list[dict[str, Any]] = [{"id": f"p{i}", "vector": [i, 1]} for i in range(300)]
    bad = [i for i in range(300) if i % 3 == 0]
    for i in bad:
        rows[i] |= {"shared_with": ["nobody"], "vector": None if i % 2 else [i, 1]}
    file = importing.write("a.jsonl", "\n".join(map(json.dumps, rows)))
    report = importing.run(file)
    assert (report.n_written, report.n_rejected) == (200, 100)
    entries = importing.rejected(file)
    assert [entry["line"] for entry in entries] == [i + 1 for i in bad]
    assert entries[1]["value"] == {"id": "p3", "vector": None, "shared_with": ["nobody"]}
    assert set(importing.points()) == {f"p{i}" for i in range(300) if i % 3}


def test_bad_rows_of_arrays_are_put_aside(importing: Importing) -> None:
    vectors = np.arange(10, dtype=np.float64).reshape(5, 2)
    vectors[1, 0], vectors[2, 1] = np.nan, 1e300
    payloads = ["", '{"a": 1}', "", '{"a": 1, "a": 2}', "[]"]
    np.savez(importing.folder / "a.npz", vectors=vectors, payloads=payloads, ids=["a", "b", "c", "d", "e"])
    report = importing.run(importing.folder / "a.npz")
    entries = importing.rejected(importing.folder / "a.npz")
    assert [entry["row"] for entry in entries] == [1, 2, 3, 4] and report.n_written == 1
    assert ["float32" in entries[0]["reason"], "duplicate" in entries[2]["reason"]] == [True, True]
    assert set(importing.points()) == {"a"}


def test_bad_rows_of_a_parquet_are_put_aside(importing: Importing) -> None:
    table = {
        "id": ["a", "b", "c", "d", None, "f"],
        "vector": [[1.0, 2.0], [1.0], [1.0, None], [1.0, float("inf")], [1.0, 2.0], [1.0, 2.0]],
        "score": [1.0, 2.0, 3.0, 4.0, 5.0, float("nan")],
    }
    parquet.write_table(arrow.table(table), importing.folder / "a.parquet")
    importing.run(importing.folder / "a.parquet")
    entries = importing.rejected(importing.folder / "a.parquet")
    assert [entry["row"] for entry in entries] == [1, 2, 3, 4, 5]
    reasons = ["has 1 numbers", "null in it", "beyond float32", "no id", "NaN"]
    assert [reason in entry["reason"] for reason, entry in zip(reasons, entries, strict=True)] == [True] * 5
    assert set(importing.points()) == {"a"}


def test_too_many_bad_rows_stop_the_import(importing: Importing) -> None:
    file = importing.write("a.jsonl", f"{GOOD}\n" + "bad\n" * 20)
    error = importing.error(file, max_rejected=19)
    assert "more than 19 rows were rejected" in error.detail
    assert importing.run(file, max_rejected=20, restart=True).n_rejected == 20


def test_a_payload_is_only_made_of_what_was_named(importing: Importing) -> None:
    file = importing.write("a.jsonl", '{"id": "a", "vector": [1, 2], "t": 1, "u": {"deep": 1}}')
    importing.run(file, Fields(payload="t"))
    assert importing.points()["a"].payload == {"t": 1}
