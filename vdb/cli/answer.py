"""`vdb answer`: a question answered from a collection: its sentences with markers, and what they cite.

On a terminal the answer is shown as it is written; elsewhere when it is complete, unless `--stream` says otherwise.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import json_value

__all__ = ["add"]

_WAIT_S = 300.0
"""How long a whole answer may take."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "answer",
        _answer,
        "answer a question from a collection, with citations",
        examples=(
            "vdb answer handbook 'why does the pump leak' --tenant acme",
            "vdb answer handbook 'why does the pump leak' --tenant acme --backend local --max-tokens 200",
            "vdb answer handbook 'why does the pump leak' --tenant acme --json",
        ),
    )
    parser.add_argument("collection", metavar="COLLECTION", help="what to answer from")
    parser.add_argument("question", metavar="QUESTION", help="what is asked")
    parser.add_argument("--backend", metavar="NAME", help="who writes (default: the collection's, else the server's)")
    parser.add_argument("--template", metavar="NAME", help="prompt template, NAME or NAME@VERSION")
    parser.add_argument("--vector", type=json_value, metavar="JSON", help="the question's vector, where none is made")
    parser.add_argument(
        "--mode", choices=("dense", "sparse", "hybrid"), help="which legs find passages (default: all that can)"
    )
    parser.add_argument("--filter", type=json_value, metavar="JSON", help="filter on the payload")
    parser.add_argument("--limit", type=int, metavar="N", help="how many passages are looked for")
    parser.add_argument("--context-tokens", type=int, metavar="N", help="tokens of passages in the prompt, at most")
    parser.add_argument("--threshold", type=float, metavar="X", help="less support than that is not found, 0 to 1")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="tokens of the answer, at most")
    parser.add_argument("--temperature", type=float, metavar="X", help="of the backend, 0 to 2")
    parser.add_argument("--seed", type=int, metavar="N", help="of the backend")
    parser.add_argument("--cache", choices=("on", "off", "refresh"), help="whether the semantic cache is asked")
    parser.add_argument("--with-texts", action="store_true", help="show the texts of the references")
    parser.add_argument("--explain", action="store_true", help="say what was left out of the prompt, and why")
    parser.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show the answer as it is written; with --json one event per line (default: on a terminal)",
    )
    add_server(parser, tenant=True)


def _answer(given: argparse.Namespace, output: Output) -> int:
    options = dict(_options(given))
    is_streamed = (output.is_terminal and not given.json) if given.stream is None else given.stream
    with connected(given) as client:
        collection = client.collection(given.collection)
        if not is_streamed:
            answer = collection.answer(given.question, wait_s=_WAIT_S, **options)
            output.document(answer)
            output.lines(_sentences(answer))
        else:
            answer = _show_events(collection.answer_stream(given.question, **options), output)
    if not given.json:
        output.lines(_references(answer, given.explain))
    return ExitCode.OK


def _options(given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """The options that were given, as the SDK names them."""
    names = ("backend", "template", "vector", "mode", "filter", "limit", "threshold", "max_tokens", "temperature")
    for name in (*names, "seed", "cache"):
        if getattr(given, name) is not None:
            yield name, getattr(given, name)
    if given.context_tokens is not None:
        yield "context", {"tokens": given.context_tokens}
    yield "with_texts", given.with_texts
    yield "explain", given.explain


def _show_events(stream: Any, output: Output) -> Any:
    """Show an answer as it is written; the whole of it."""
    from vdb.protocol.answer_answers import DeltaEvent

    with stream:
        for event in stream:
            output.document(event)
            if isinstance(event, DeltaEvent):
                output.piece(event.text)
            output.flush()
    output.line()
    return stream.answer


def _sentences(answer: Any) -> Iterator[str]:
    """The text with its markers, line by line."""
    yield from answer.text.splitlines()


def _references(answer: Any, is_explained: bool) -> Iterator[str]:
    """What the markers stand for, one line each."""
    from msgspec import UNSET

    if answer.references:
        yield ""
    for n, reference in enumerate(answer.references, 1):
        about = [reference.title, *reference.heading] if reference.title or reference.heading else [reference.document]
        named = " > ".join(word for word in about if word)
        page = f", page {reference.page}" if reference.page is not None else ""
        yield f"[{n}] {reference.id} ({reference.owner}){': ' if named else ''}{named}{page}"
        if reference.text is not UNSET:
            yield from (f"    {line}" for line in reference.text.splitlines())
    if is_explained:
        yield ""
        yield from _explained(answer)


def _explained(answer: Any) -> Iterator[str]:
    from msgspec import UNSET

    context = answer.context
    whole = ", everything there is" if context.whole else ""
    yield f"passages: {context.passages}, {context.tokens} of {context.budget_tokens} tokens{whole}"
    for dropped in context.dropped if context.dropped is not UNSET else ():
        yield f"left out: {dropped.id} ({dropped.owner}), {dropped.tokens} tokens: {dropped.reason}"
    found = "found" if answer.found else "not found"
    yield f"{found}: support {answer.support}, threshold {answer.threshold}"
    yield f"written by: {answer.backend} ({answer.model}), template {answer.template}; cache: {answer.cache.reason}"
