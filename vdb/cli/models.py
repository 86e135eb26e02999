"""`vdb models`: which models a server may ask, and whether each of them answers."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import Settings
from vdb.errors import InvalidArgument, VdbError

if TYPE_CHECKING:
    from vdb.rag.embed.base import Embedder
    from vdb.rag.generate.base import Backend
    from vdb.rag.rerank.base import Reranker

COLUMNS = ("use", "name", "kind", "model", "version", "dimension")
TEXTS = ("Where is the nearest library?", "The library is opposite the town hall.", "Bread is made of flour and water.")
"""What `--test` sends: one that is asked, and two that may answer."""
_TEST_TOKENS = 64
"""Of an answer then: enough that a model which reasons first may say something."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "models",
        _models,
        "list the models that a server may ask, or ask each once",
        description="List the built-in model and those of models_file; with --test ask each. Exit code 1: one failed.",
        examples=("vdb models", "vdb models --config /etc/vdb/vdb.toml --test", "vdb models --models-file models.toml"),
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file, in TOML (default: $VDB_CONFIG)")
    parser.add_argument("--models-file", metavar="FILE", help="file of models, in place of the setting's")
    parser.add_argument("--test", action="store_true", help="ask each model once, with sentences made up for it")


def _models(given: argparse.Namespace, output: Output) -> int:
    # NumPy and what asks models are loaded by this command only.
    from vdb.rag.embed.lexical import LEAST_DIMENSION, Lexical
    from vdb.rag.extractive import EXTRACTIVE, Extractive
    from vdb.rag.models_file import Listed, ModelsFile, read_models

    # The key is not needed, and whoever asks may not be allowed to read it.
    settings = Settings.load(given.config, None, models_file=given.models_file, admin_key_file="").settings
    found = read_models(Path(settings.models_file)) if settings.models_file else ModelsFile()
    for warning in found.warnings:
        output.note(warning)
    built_in = Lexical()
    rows = [
        Listed("embedder", built_in.name, "built-in", built_in.name, built_in.version),
        Listed("backend", EXTRACTIVE, "built-in", EXTRACTIVE),
        *found.listed,
    ]
    if given.test:
        calls = [_embedding(built_in, LEAST_DIMENSION), _answering(Extractive())]
        calls += [_embedding(embedder, embedder.least_dimension) for embedder in found.embedders]
        calls += [_reranking(reranker) for reranker in found.rerankers]
        calls += [_answering(backend) for backend in found.backends]
        for row, call in zip(rows, calls, strict=True):
            began = time.perf_counter()
            row.state, row.seconds = _state_after(call), round(time.perf_counter() - began, 6)
    output.listing("models", rows, (*COLUMNS, "state", "seconds") if given.test else COLUMNS)
    return ExitCode.REFUSED if any(row.state not in ("", "ok") for row in rows) else ExitCode.OK


def _embedding(embedder: "Embedder", dimension: int) -> Callable[[], Any]:
    """A call of both sides, after which the model is closed."""

    def call() -> None:
        try:
            embedder.embed_queries(TEXTS[:1], dimension)
            embedder.embed_documents(TEXTS[1:], dimension)
        finally:
            embedder.close()

    return call


def _reranking(reranker: "Reranker") -> Callable[[], Any]:
    def call() -> None:
        try:
            reranker.rerank(TEXTS[0], TEXTS[1:])
        finally:
            reranker.close()

    return call


def _answering(backend: "Backend") -> Callable[[], Any]:
    from vdb.rag.generate.base import Asked, ContextTooLong, Message, Stop
    from vdb.rag.passage import Passage

    passages = [Passage(text, "", 0, text, 1.0) for text in TEXTS[1:]]
    asked = Asked(TEXTS[0], passages, (Message("user", TEXTS[0]),), max_tokens=min(_TEST_TOKENS, backend.max_tokens))

    def call() -> None:
        try:
            backend.counter.count(TEXTS)
            backend.generate(asked, lambda piece: None, Stop())
        except ContextTooLong as exc:
            raise InvalidArgument(f"backend {backend.name!r} finds one short question too long") from exc
        finally:
            backend.close()

    return call


def _state_after(call: Callable[[], Any]) -> str:
    try:
        call()
    except VdbError as exc:
        return exc.detail
    return "ok"
