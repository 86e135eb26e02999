"""Tables and records: aligned, as wide as the terminal, and without a way to steer it."""

import io
import os
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from vdb.cli.output import Output
from vdb.cli.table import record, table


class Inner(msgspec.Struct):
    points: int | None
    bytes: int | None


class Item(msgspec.Struct):
    name: str
    usage: Inner
    distance: float = 0.0
    payload: Any = msgspec.UNSET
    at: datetime | None = None


def _item(name: str, points: int | None = 0, n_bytes: int | None = 0, **more: Any) -> Item:
    return Item(name, Inner(points, n_bytes), **more)


def test_numbers_stand_right_and_words_left() -> None:
    lines = table([_item("a", 5), _item("longer", 1_234_567, None)], ("name", "usage.points", "usage.bytes"))
    assert lines == [
        "name    usage points  usage bytes",
        "a                  5          0 B",
        "longer     1,234,567            –",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1_047_552, "1023 KiB"),
        (10 << 30, "10 GiB"),
        (1 << 62, "4096 PiB"),
    ],
)
def test_bytes_are_for_people(number: int, text: str) -> None:
    assert table([_item("a", 0, number)], ("usage.bytes",))[1].strip() == text


def test_times_are_local_and_to_the_second() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert table([_item("a", at=at)], ("at",))[1] == at.astimezone().isoformat(" ", "seconds")


def test_a_wide_character_takes_two_places_and_a_combining_one_none() -> None:
    lines = table([_item("中文", 1), _item("e\u0301", 1), _item("abcd", 1)], ("name", "usage.points"))
    assert lines[1:] == ["中文             1", "e\u0301                1", "abcd             1"]


def test_a_table_fits_the_terminal_by_cutting_its_widest_column() -> None:
    items = [_item("short", payload={"text": "word " * 100}), _item("中" * 50, payload={})]
    lines = table(items, ("name", "usage.points", "payload"), 60)
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("short  ") and lines[1].endswith("…")
    assert "中…" in lines[2]


def test_a_table_for_a_file_is_not_cut() -> None:
    assert table([_item("x" * 500)], ("name",))[1] == "x" * 500


def test_a_record_shows_what_is_within_and_leaves_out_what_is_not_there() -> None:
    assert record(_item("a", 3, 2048)) == [
        "name          a",
        "usage points  3",
        "usage bytes   2 KiB",
        "distance      0",
        "at            –",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([1.5, 2.0], np.float32), "[1.5,2.0]"),
        (["acme", "globex"], "acme, globex"),
        ([], "–"),
        ({}, "–"),
        ("", "–"),
        (True, "yes"),
        ([Inner(1, 2)], '[{"points":1,"bytes":2}]'),
        ({"t": "\x1b[2J\x9b\u202e"}, '{"t":"\\u001b[2J\\x9b\\u202e"}'),
        ("\x1b[31m\r\nred", "\\x1b[31m\\r\\nred"),
    ],
)
def test_values_are_text_that_cannot_steer_the_terminal(value: Any, text: str) -> None:
    (line,) = table([_item("a", payload=value)], ("payload",))[1:]
    assert line == text and line.isprintable()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_output_asks_the_terminal_for_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 24)))
    for stream, is_cut in ((_Terminal(), True), (io.StringIO(), False)):
        Output(stream, stream).listing("things", [_item("x" * 100)], ("name", "usage.points"))
        assert (max(map(len, stream.getvalue().splitlines())) <= 40) == is_cut


def test_nothing_to_list_says_so() -> None:
    stream = io.StringIO()
    Output(stream, stream).listing("keys", [], ("id",))
    assert stream.getvalue() == "no keys\n"
