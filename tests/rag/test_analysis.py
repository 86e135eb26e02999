"""Text to terms, in scripts with spaces and without, in every language that is offered."""

import threading

import pytest

from vdb.rag import analysis
from vdb.rag.analysis import LANGUAGES, analyser_of, words_of
from vdb.storage.text_postings import term_hash


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick, brown fox!", ["the", "quick", "brown", "fox"]),
        ("snake_case don't 3.14 e-mail", ["snake", "case", "don", "t", "3", "14", "e", "mail"]),
        ("STRASSE Straße ﬁne Ⅷ ①", ["strasse", "strasse", "fine", "viii", "1"]),
        ("naïve café Ωμέγα Ёлка", ["naïve", "café", "ωμέγα", "ёлка"]),
        ("cafe\u0301", ["café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("السلام عليكم", ["السلام", "عليكم"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("猫 と a", ["猫", "と", "a"]),
        ("서울에서 왔다", ["서울", "울에", "에서", "왔다"]),
        ("mixed漢字text", ["mixed", "漢字", "text"]),
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),
        ("\ud800 lone \x00 😀 zero\u200bwidth", ["lone", "zero", "width"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_english_loses_stop_words_and_endings() -> None:
    terms = analyser_of("english").terms
    assert terms("The foxes don't run; running is what the fox does not.") == ["fox", "run", "run", "fox"]
    assert terms("to be or not to be") == []
    assert terms("New groups of pages") == ["new", "group", "page"], "words with a meaning stay"


def test_other_languages_have_theirs() -> None:
    assert analyser_of("french").terms("l'homme qu'il aime les chevaux") == ["homm", "aim", "cheval"]
    assert analyser_of("german").terms("Die Häuser und das Haus") == ["haus", "haus"]
    assert analyser_of("none").terms("The foxes") == ["the", "foxes"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_makes_terms(language: str) -> None:
    analyser = analyser_of(language)
    found = analyser.terms("Kartoffel патент πόλη 東京 हिन्दी")
    assert found and all(found) and analyser.version == analyser_of("none").version
    assert analyser.frequencies("Kartoffel") == {term_hash(analyser.terms("Kartoffel")[0]): 1}


def test_an_unknown_language_has_no_analyser() -> None:
    with pytest.raises(KeyError):
        analyser_of("klingon")


def test_frequencies_are_those_of_the_terms() -> None:
    analyser = analyser_of("english")
    text = "run runs running the cats cat dog " + "x" * 500
    counted = {term_hash(term): analyser.terms(text).count(term) for term in analyser.terms(text)}
    assert analyser.frequencies(text) == counted and len(counted) == 4


def test_words_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "KEPT_WORDS", 10)
    analyser = analysis.Analyser("english")
    for i in range(100):
        text = f"word{i} running the"
        assert analyser.terms(text) == [f"word{i}", "run"]
        assert analyser.frequencies(text) == {term_hash(f"word{i}"): 1, term_hash("run"): 1}


def test_threads_share_an_analyser() -> None:
    analyser = analysis.Analyser("english")
    expected = {f"walkings{i}": analysis.Analyser("english").terms(f"walkings{i}") for i in range(2_000)}
    wrong: list[str] = []

    def ask() -> None:
        wrong.extend(word for word, terms in expected.items() if analyser.terms(word) != terms)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
