"""Citations: markers in many forms become one, however the text is cut; what is none stays."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.citations import HELD, MOST_PER_SENTENCE, CitationStream, quoted

PIECES = [
    "[1]",
    "[2]",
    "[9]",
    "[1, 2]",
    "[1-3]",
    "【2】",
    "［3］",
    "[^1]",
    "[0]",
    "[2024]",
    "[1](http://x)",
    "[",
    "[[",
    "]",
    "`",
    "```",
    "\n",
    "\\",
    ". ",
    " ",
    "  ",
    "Fact",
    "Dr.",
    "U.S.",
    "。",
    "x",
    "(",
    "[passage 2]",
    "【3†s】",
    "*",
    "A b. C",
    " " * 9,
    "\n\n",
    "[4][5]",
    "[1",
    "5]",
]
texts = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=40).map("".join)
N_PASSAGES = 5


class Read(NamedTuple):
    text: str
    order: list[int]
    n_unknown: int
    sentences: list[tuple[str, list[int]]]


def read(text: str, sizes: tuple[int, ...] = (), n_passages: int = N_PASSAGES) -> Read:
    """What a stream makes of a text that comes in pieces of these sizes, the last of them again and again."""
    stream = CitationStream(n_passages)
    out, at, turn = "", 0, 0
    while at < len(text):
        size = sizes[min(turn, len(sizes) - 1)] if sizes else len(text)
        out += stream.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    return Read(out + stream.finish(), stream.order, stream.n_unknown, stream.sentences())


@given(texts, st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_a_stream_reads_what_the_whole_says_however_it_is_cut(text: str, sizes: list[int]) -> None:
    assert read(text, tuple(sizes)) == read(text)
    assert read(text, (1,)) == read(text)


@given(texts)
def test_sentences_cite_what_is_in_the_order_and_no_more_than_three(text: str) -> None:
    found = read(text)
    assert all(len(cited) <= MOST_PER_SENTENCE for _, cited in found.sentences)
    assert {place for _, cited in found.sentences for place in cited} == set(range(len(found.order)))
    assert len(set(found.order)) == len(found.order)
    assert all(0 <= place < N_PASSAGES for place in found.order)


@given(texts)
def test_what_is_passed_on_reads_the_same_again(text: str) -> None:
    found = read(text)
    again = read(found.text, n_passages=len(found.order))
    assert again.order == list(range(len(found.order)))


@given(texts)
def test_a_quoted_text_cites_nothing_itself(text: str) -> None:
    found = read(f"{quoted(text)} [5]")
    assert found.order == [4]
    assert found.n_unknown == 0


@given(texts, st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_a_quoted_text_comes_out_as_it_was(text: str, sizes: list[int]) -> None:
    def read_quoted(turns: list[int]) -> tuple[str, list[int], list[tuple[str, list[int]]]]:
        stream = CitationStream(N_PASSAGES, is_quoted=True)
        left, out = f"{quoted(text)} [5]", ""
        for size in [*turns, len(left)]:
            out, left = out + stream.feed(left[:size]), left[size:]
        return out + stream.finish(), stream.order, stream.sentences()

    out, order, said = read_quoted(sizes)
    assert read_quoted([]) == (out, order, said)
    assert order == [4]
    verbatim = "".join(text.split())
    assert "".join("".join(part for part, _ in said).split()) == verbatim
    assert "".join(out.removesuffix("[1]").replace("\\", "").split()) == verbatim.replace("\\", "")


def test_what_looks_like_a_marker_in_a_quoted_text_stays_escaped_where_markers_are_read() -> None:
    stream = CitationStream(2, is_quoted=True)
    out = stream.feed(quoted("As in `a[0]` and [1], see \\[x] and \\[2].") + " [2]") + stream.finish()
    assert out == "As in `a[0]` and \\[1], see \\[x] and \\[2]. [1]"
    assert stream.sentences() == [("As in `a[0]` and [1], see \\[x] and \\[2].", [0])]


@given(texts)
def test_little_is_held_back(text: str) -> None:
    stream = CitationStream(N_PASSAGES)
    plain = text.replace("[", "(").replace("【", "(").replace("［", "(")
    out = ""
    for at, letter in enumerate(plain, 1):
        out += stream.feed(letter)
        assert at - len(out) <= HELD
    assert out + stream.finish() == plain


@pytest.mark.parametrize(
    ("marker", "places"),
    [
        ("[2]", [1]),
        ("[2][4]", [1, 3]),
        ("[2] [4]", [1, 3]),
        ("[2,4]", [1, 3]),
        ("[2, 4]", [1, 3]),
        ("[2; 4]", [1, 3]),
        ("[2 and 4]", [1, 3]),
        ("[2-4]", [1, 2, 3]),
        ("[2–4]", [1, 2, 3]),
        ("[^2]", [1]),
        ("[#2]", [1]),
        ("[passage 2]", [1]),
        ("[Source 2, 4]", [1, 3]),
        ("【2】", [1]),
        ("【2†source】", [1]),
        ("［2］", [1]),
        ("[[2]]", [1]),
    ],
)
def test_markers_of_many_forms_cite(marker: str, places: list[int]) -> None:
    assert read(f"It is so {marker}.").order == places


@pytest.mark.parametrize(
    "text",
    [
        "In [2024] and [1999-2003].",
        "See [1](https://example.org/1).",
        "An image ![1](x.png).",
        "Between [0, 1] and [0].",
        "An escaped \\[1] and \\[ x^2 \\].",
        "Call `a[1]` now.",
        "```\na[1] = b[2]\n```\n",
        "A [note] and [1.5] and [a1] and [01] and [1 2].",
        "Open [1",
        "[1\n]",
        "[-1] [1-] [,1]",
        "[1-500]",
    ],
)
def test_what_is_no_marker_stays_as_it_is(text: str) -> None:
    assert read(text)[:3] == (text, [], 0)


def test_markers_are_numbered_by_first_citation() -> None:
    found = read("One [3]. Two.[1][3] Three [2, 5].")
    assert found.text == "One [1]. Two.[2][1] Three [3][4]."
    assert found.order == [2, 0, 1, 4]
    assert found.sentences == [("One.", [0]), ("Two.", [0, 1]), ("Three.", [2, 3])]


def test_unknown_markers_go_and_are_counted() -> None:
    found = read("[7] One [8]. Two [2, 9] three.\n[9] Four.")
    assert found.text == "One. Two [1] three.\nFour."
    assert found.n_unknown == 4


def test_a_sentence_keeps_three_citations_and_references_only_those() -> None:
    found = read("One [1][2][3][4]. Two [5].")
    assert found.text == "One [1][2][3]. Two [4]."
    assert found.order == [0, 1, 2, 4]
    assert found.n_unknown == 0


def test_a_marker_behind_the_full_stop_belongs_to_the_sentence_before() -> None:
    found = read("It rained. [2] The U.S. Army left. [1] Done.")
    assert found.sentences == [("It rained.", [0]), ("The U.S. Army left.", [1]), ("Done.", [])]


def test_a_thousand_passages_have_numbers_of_four_digits() -> None:
    assert read("So [1000] and [2024].", n_passages=1000)[:3] == ("So [1] and [2024].", [999], 0)


def test_citations_begin_again_behind_code() -> None:
    found = read("```\na[1]\n```\nSo [2]. A stray ` here [1]\nand [3].")
    assert found.order == [1, 2]


def test_no_citations_without_passages() -> None:
    assert read("One [1].", n_passages=0) == Read("One.", [], 1, [("One.", [])])


@pytest.mark.parametrize("evil", ["[", "[1", "[1]a", "Dr. [1]", "`", " ", "\\", "[1]", ". ", "[1, "])
def test_what_repeats_is_read_to_its_end(evil: str) -> None:
    text = evil * 3_000
    assert read(text, (997,)).text == read(text).text
