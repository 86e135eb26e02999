"""`vdb answer`: what is shown of an answer, whole and as it is written, and what is refused."""

import json
from io import StringIO
from typing import Any

import pytest

from tests.cli.conftest import Command
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.testing import RunningServer

QUESTION = "How long do refunds take?"
REFUNDS = "Refunds take five days. Ask again after a week."


@pytest.fixture
def answer(admin: Command, server: RunningServer) -> Command:
    """`vdb answer` from a collection of `acme` with two texts."""
    client = server.admin()
    if not client.collections():
        client.create_collection(
            "guides", dimension=32, embedding={"model": "lexical", "version": "1"}, text={"fields": {"text": 1}}
        )
        documents: list[dict[str, Any]] = [
            {"id": "refunds", "text": REFUNDS, "title": "On money"},
            {"id": "pumps", "text": "The pump leaks at the valve.", "payload": {"lang": "de"}},
        ]
        client.collection("guides", tenant="acme").put_documents(documents)

    def run(*words: str, question: str = QUESTION) -> object:
        return admin("answer", "guides", question, "--tenant", "acme", *words)

    return run  # type: ignore[return-value]


def test_sentences_stand_before_what_they_cite(answer: Command) -> None:
    ran = answer()
    assert ran.code == ExitCode.OK
    text, _, references = ran.out.partition("\n\n")
    assert "five days" in text and "[1]" in text
    assert references.splitlines()[0] == "[1] refunds#0 (acme): On money"


def test_texts_and_reasons_are_shown_if_asked_for(answer: Command) -> None:
    shown = answer("--with-texts", "--explain", "--backend", "extractive").out
    assert f"    {REFUNDS}" in shown.splitlines()
    assert "passages: " in shown
    assert "written by: extractive (extractive), template default@1; cache: off" in shown
    assert "    " not in answer().out


def test_a_streamed_answer_shows_the_same(answer: Command) -> None:
    whole, streamed = answer("--no-stream"), answer("--stream")
    assert streamed.code == ExitCode.OK
    assert streamed.out == whole.out


def test_json_is_the_answer_or_one_event_per_line(answer: Command) -> None:
    whole = answer("--json").document
    assert whole["references"][0]["document"] == "refunds"
    events = [json.loads(line) for line in answer("--json", "--stream").out.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["retrieval", "done"]
    assert events[-1]["answer"]["text"] == whole["text"]


def test_nothing_found_is_an_answer_without_references(answer: Command) -> None:
    ran = answer("--filter", '{"field": "lang", "eq": "fr"}')
    assert ran.code == ExitCode.OK
    assert "[1]" not in ran.out and ran.out.strip()
    assert answer("--filter", '{"field": "lang", "eq": "fr"}', "--json").document["found"] is False


def test_what_is_refused_says_so(answer: Command, admin: Command) -> None:
    assert answer("--backend", "absent").code == ExitCode.NOT_FOUND
    assert answer("--backend", "absent", "--stream").code == ExitCode.NOT_FOUND
    assert answer("--context-tokens", "0").code == ExitCode.REFUSED
    assert answer(question="").code == ExitCode.REFUSED
    assert answer("--temperature", "warm").code == ExitCode.USAGE
    assert answer("--filter", "{").code == ExitCode.USAGE
    assert admin("answer", "absent", QUESTION, "--tenant", "acme").code == ExitCode.NOT_FOUND
    assert admin("answer", "guides", QUESTION).code == ExitCode.REFUSED


def test_the_options_reach_the_server(answer: Command) -> None:
    words = ("--limit", "1", "--mode", "sparse", "--context-tokens", "200", "--threshold", "0", "--max-tokens", "50")
    more = ("--seed", "7", "--temperature", "0", "--cache", "off", "--template", "default")
    found = answer(*words, *more, "--json").document
    assert (found["threshold"], found["context"]["budget_tokens"] <= 200) == (0.0, True)


def test_pieces_keep_their_line_ends_and_cannot_steer_a_terminal() -> None:
    out = StringIO()
    Output(out, StringIO()).piece("one\ntwo \x1b[2J\u202e")
    assert out.getvalue() == "one\ntwo \\x1b[2J\\u202e"
    Output(out, StringIO(), is_json=True).piece("never")
    assert "never" not in out.getvalue()
