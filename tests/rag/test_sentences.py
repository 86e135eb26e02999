"""Sentences: what ends one and what does not, in several scripts; and what holds for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.sentences import sentences

pieces = st.sampled_from(
    [
        "a", "Word", "U.S.", "Dr.", "3.14", "1.", ".", "...", "…", "!?", "。", "」", '"', "’", ")", "[1]", "(", "-",
        "*", "#", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\u2028", "字", "\u3000", "\x00", "\ud800", "é",
    ]
)  # fmt: skip
texts = st.lists(pieces, max_size=40).map("".join) | st.text(max_size=200)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@given(texts)
def test_sentences_lie_in_order_and_leave_out_nothing_but_white_space(text: str) -> None:
    last = 0
    for start, end in sentences(text):
        assert last <= start < end <= len(text)
        assert text[last:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        last = end
    assert text[last:].strip() == ""


@given(texts, texts)
def test_an_empty_line_ends_a_sentence_whatever_stands_before(first: str, second: str) -> None:
    assert cut(f"{first}\n\n{second}") == cut(first) + cut(second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith met Mr. Jones on Jan. 5. They left.", ["Dr. Smith met Mr. Jones on Jan. 5.", "They left."]),
        ("It costs $3.50 in ver. 2.0. Cheap.", ["It costs $3.50 in ver. 2.0.", "Cheap."]),
        ("The U.S. Army left the U.S. The end.", ["The U.S. Army left the U.S.", "The end."]),
        ("See e.g. Fig. 3 and no. 5 on pp. 6. Then go.", ["See e.g. Fig. 3 and no. 5 on pp. 6.", "Then go."]),
        ("The answer is no. Others agree.", ["The answer is no.", "Others agree."]),
        ("J. R. R. Tolkien wrote it. So did C. S. Lewis.", ["J. R. R. Tolkien wrote it.", "So did C. S. Lewis."]),
        ("Foo Inc. The firm is new. Bar Inc. Berlin.", ["Foo Inc.", "The firm is new.", "Bar Inc. Berlin."]),
        ("At 5 p.m. they ate. At 6 p.m. The end.", ["At 5 p.m. they ate.", "At 6 p.m.", "The end."]),
        ('"Is it?" she asked. "It is." He nodded.', ['"Is it?" she asked.', '"It is."', "He nodded."]),
        ("Wait... what? And then … Nothing.", ["Wait... what?", "And then …", "Nothing."]),
        ("A cat.[1] The dog.[2][3] Then.", ["A cat.[1]", "The dog.[2][3]", "Then."]),
        ("(It is so.) But why?", ["(It is so.)", "But why?"]),
        ("Born in 1990. 20 people came.", ["Born in 1990.", "20 people came."]),
        ("A line that is\nwrapped. Next.", ["A line that is\nwrapped.", "Next."]),
        ("Title\n\nText", ["Title", "Text"]),
        ("Items:\n- one\n- two\n1. three\n2) four", ["Items:", "- one", "- two", "1. three", "2) four"]),
        ("# Head\n| a | b |\n| 1 | 2 |", ["# Head", "| a | b |", "| 1 | 2 |"]),
        (
            "## A head. Of two\nA line\nwrapped.\n| a. B |\nText.",
            ["## A head. Of two", "A line\nwrapped.", "| a. B |", "Text."],
        ),
        ("これは文です。次の文！「はい。」終わり", ["これは文です。", "次の文！", "「はい。」", "終わり"]),
        ("हिन्दी वाक्य। दूसरा।", ["हिन्दी वाक्य।", "दूसरा।"]),
        ("¿Qué? ¡Sí! Ésta. Él.", ["¿Qué?", "¡Sí!", "Ésta.", "Él."]),
        ("end.Next www.example.com/a.b", ["end.Next www.example.com/a.b"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_what_ends_a_sentence(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize("repeated", [".", ". ", ".\n ", "\n ", "[1]", '."', ".)", "1. ", "(", "。", "a.b "])
def test_long_runs_of_marks_are_read(repeated: str) -> None:
    text = repeated * 20_000
    found = sentences(text)
    assert "".join("".join(text[a:b].split()) for a, b in found) == "".join(text.split())
