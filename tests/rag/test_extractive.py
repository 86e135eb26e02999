"""The backend `extractive`: which sentences it says, how it cites them, and what holds for any passages."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.analysis import analyser_of
from vdb.rag.citations import CitationStream
from vdb.rag.extractive import Extractive, support
from vdb.rag.extractive.analysed import Analysed, Analyses
from vdb.rag.generate.base import Asked, Cancelled, Generated, Message, Stop
from vdb.rag.passage import Passage
from vdb.rag.sentences import sentences

RIVERS = (
    "The Rhine begins in the Alps. It ends in the North Sea. Its length is 1,230 kilometres.",
    "The Danube is the second river of Europe by its size. Johann Strauss wrote a waltz of it in 1866.",
    "The Volga is Europe's longest river. It flows through Russia because the land falls to the south.",
)

words = st.sampled_from(
    ["rhine", "River", "long", "the", "Strauss", "1866.", "a.", "[1]", "`x`", "?", "\n\n", "河。", "{n}"]
)
texts = st.lists(words, max_size=12).map(" ".join) | st.text(max_size=40)


def passages(*given: str) -> list[Passage]:
    return [Passage(f"p{i}", "acme", 1, text, -float(i)) for i, text in enumerate(given)]


def generated(question: str, *given: str, **options: object) -> tuple[Generated, list[str]]:
    pieces: list[str] = []
    asked = Asked(question, passages(*given), [Message("user", question)], **options)  # type: ignore[arg-type]
    return Extractive().generate(asked, pieces.append, Stop()), pieces


def said(question: str, *given: str) -> list[tuple[str, list[int]]]:
    """Sentences, and the passages that each cites, from 0."""
    answer, _ = generated(question, *given)
    stream = CitationStream(len(given))
    stream.feed(answer.text)
    stream.finish()
    assert stream.n_unknown == 0
    return [(text, [stream.order[place] for place in places]) for text, places in stream.sentences()]


@pytest.mark.parametrize(
    ("question", "sentence", "passage"),
    [
        ("Where does the Rhine begin?", "The Rhine begins in the Alps.", 0),
        ("Who wrote a waltz of the Danube?", "Johann Strauss wrote a waltz of it in 1866.", 1),
        ("When was a waltz written?", "Johann Strauss wrote a waltz of it in 1866.", 1),
        ("What is the longest river?", "The Volga is Europe's longest river.", 2),
        ("Why does the Volga flow through Russia?", "It flows through Russia because the land falls to the south.", 2),
    ],
)
def test_the_first_sentence_answers_and_cites_its_passage(question: str, sentence: str, passage: int) -> None:
    assert said(question, *RIVERS)[0] == (sentence, [passage])


def test_at_most_three_sentences_are_said_and_none_twice() -> None:
    text = "Gold is yellow. Gold is heavy. Gold is soft. Gold is rare. Gold is yellow."
    found = said("gold", text, text)
    assert len(found) == 3 and len({sentence for sentence, _ in found}) == 3


def test_sentences_without_a_full_stop_stay_apart() -> None:
    found = said("gold price", "Price of gold\n\nGold price today")
    assert [text.strip() for text, _ in found] == ["Price of gold", "Gold price today"]
    assert [cited for _, cited in found] == [[0], [0]]


def test_without_a_common_word_the_first_sentence_is_said() -> None:
    assert said("zebra", "", *RIVERS) == [("The Rhine begins in the Alps.", [1])]


def test_headings_tables_and_code_are_no_sentences_where_there_are_others() -> None:
    text = (
        "## Rotate keys\n\nA key is rotated with one command:\n\n```sh\nvdb keys rotate # rotate keys\n```\n\n"
        "| rotate | keys |\n|---|---|\n\n- The old key works for `grace_s` seconds after it is rotated."
    )
    found = [sentence.strip() for sentence, _ in said("How to rotate keys?", text)]
    assert found[0] == "A key is rotated with one command:"
    assert not any(sentence.startswith(("#", "|", "-", "```")) for sentence in found)


def test_a_row_of_a_table_is_said_where_nothing_else_is_as_good() -> None:
    answer, _ = generated("port of metrics", "Settings follow.\n\n| metrics port | 9100 |\n| other | 1 |")
    assert answer.text == "| metrics port | 9100 | [1]"


def test_what_looks_like_a_marker_in_a_sentence_cites_nothing() -> None:
    found = said("Who is the king?", "The king [2] is Bob [1][3].", "Nothing.", "Nobody.")
    assert [cited for _, cited in found] == [[0]]


def test_a_title_tells_what_a_passage_is_about() -> None:
    body = "It has a length of some hundred kilometres."
    given = [Passage("a", "acme", 1, body, 0.0, title="Elbe"), Passage("b", "acme", 1, f"{body} ", 0.0, title="Oder")]
    pieces: list[str] = []
    Extractive().generate(Asked("What is the length of the Oder?", given, []), pieces.append, Stop())
    assert pieces[0].endswith(" [2]")


def test_rare_words_count_by_the_index_where_it_tells() -> None:
    given = ("Alpha is here.", "Beta is here.")
    of_alpha, _ = generated("alpha beta", *given, weights={"alpha": 9.0, "beta": 0.1})
    of_beta, _ = generated("alpha beta", *given, weights={"alpha": 0.1, "beta": 9.0})
    assert of_alpha.text.startswith("Alpha") and of_beta.text.startswith("Beta")


def test_other_languages_are_read_by_their_own_rules() -> None:
    given = ("Die Katzen schlafen im Haus.", "Der Hund bellt.")
    answer, _ = generated("Wo schläft die Katze?", *given, language="german")
    assert answer.text == "Die Katzen schlafen im Haus. [1]"


def test_no_more_tokens_are_said_than_asked_for() -> None:
    answer, pieces = generated("Where does the Rhine begin?", *RIVERS, max_tokens=3)
    assert answer.text == "".join(pieces) == "The Rhine be"
    assert answer.finish_reason == "length" and answer.usage.completion_tokens == 3


def test_a_stop_word_ends_the_answer() -> None:
    answer, pieces = generated("Where does the Rhine begin?", *RIVERS, stop=("in the", "never"))
    assert answer.text == "".join(pieces) == "The Rhine begins "
    assert answer.finish_reason == "stop"


def test_an_answer_that_nobody_waits_for_ends() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(Cancelled):
        Extractive().generate(Asked("Rhine", passages(*RIVERS), []), lambda _: None, stop)


def test_without_passages_nothing_is_said() -> None:
    answer, pieces = generated("Rhine")
    assert (answer.text, pieces, answer.usage.completion_tokens) == ("", [], 0)


def test_four_characters_are_a_token() -> None:
    assert Extractive().counter.count(["", "a", "abcd", "abcde"]) == [0, 1, 1, 2]


@given(texts, st.lists(texts, max_size=6))
def test_whatever_is_given_each_sentence_said_is_of_the_passage_it_cites(question: str, given: list[str]) -> None:
    answer, pieces = generated(question, *given)
    assert answer == generated(question, *given)[0]
    assert answer.text == "".join(pieces)
    stream = CitationStream(len(given))
    stream.feed(answer.text)
    stream.finish()
    assert stream.n_unknown == 0
    for place in stream.order:
        flat = " ".join(given[place].split())
        own = [" ".join(given[place][start:end].split()) for start, end in sentences(given[place])]
        assert flat and any(sentence in flat for sentence in own)
    assert bool(answer.text) == any(text.strip() for text in given)


def test_analyses_are_kept_up_to_a_number_of_bytes() -> None:
    analyser = analyser_of("english")
    n_bytes = Analysed("aaaaaa", analyser).n_bytes
    analyses = Analyses(n_bytes + 10)
    first = analyses.of("aaaaaa", analyser)
    assert analyses.of("aaaaaa", analyser) is first
    analyses.of("bbbbbb", analyser)
    assert analyses.of("aaaaaa", analyser) is not first
    assert analyses.of("c" * 99, analyser) is not analyses.of("c" * 99, analyser)


@pytest.mark.parametrize("unit", ["!\n", "A! ", "\u3002x", "\u4e00 ", "word "])
def test_an_analysis_takes_no_more_memory_than_it_says(unit: str) -> None:
    analyser, text = analyser_of("english"), unit * (20_000 // len(unit))
    Analysed(text, analyser)  # what is made once
    tracemalloc.start()
    made = Analysed(text, analyser)
    for sentence in range(len(made.spans)):
        made.kinds(sentence)
        made.names(sentence)
    n_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert n_bytes <= made.n_bytes * 1.1


@pytest.mark.parametrize("scores", [(1e308, -1e308, 1.0), (1e200, 0.0, 0.0), (-1e308, -1e308, -1e308)])
def test_scores_as_large_as_a_float_are_only_an_order(scores: tuple[float, ...]) -> None:
    passages = [
        Passage(f"p{i}", "acme", 1, text, score) for i, (text, score) in enumerate(zip(RIVERS, scores, strict=True))
    ]
    answer = Extractive().generate(Asked("Where does the Rhine begin?", passages, ()), lambda _: None, Stop())
    assert "The Rhine begins in the Alps." in answer.text
    assert 0.0 <= support("Where does the Rhine begin?", passages) <= 1.0
