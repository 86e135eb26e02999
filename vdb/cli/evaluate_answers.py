"""`vdb eval --answers`: a collection's answers beside those that are right."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import connected

if TYPE_CHECKING:
    from vdb.evaluation import AnsweredQuestion, AnswersEvaluation

__all__ = ["add_answers", "evaluate_answers_of"]

_TIMEOUT_S = 660.0


def add_answers(parser: argparse.ArgumentParser) -> None:
    """Add the options that are of answers alone."""
    parser.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="measure answers instead: questions with theirs, JSON Lines or SQuAD",
    )
    parser.add_argument("--backend", metavar="NAME", help="with --answers: who writes them (default: the collection's)")


def evaluate_answers_of(
    given: argparse.Namespace, output: Output, rows_of: Callable[[Path, int], list[list[float]]]
) -> int:
    """Ask, measure, write the report, show it."""
    from vdb.evaluation import evaluate_answers, read_questions, write_answers_report

    if given.collection is None:
        raise WrongUsage("--answers needs a --collection")
    unused = {"--qrels": given.qrels, "--queries": given.queries, "--run": given.written, "--learn": given.learn}
    for option, value in unused.items():
        if value:
            raise WrongUsage(f"{option} is not of answers")

    def told(n_done: int, n_questions: int) -> None:
        if output.is_drawn:
            output.draw(f"\r{n_done:,} of {n_questions:,} questions" + ("\n" if n_done == n_questions else ""))

    questions = _of_tenant(given, read_questions(given.answers), rows_of)
    options: dict[str, Any] = {} if given.backend is None else {"backend": given.backend}
    with connected(given, timeout_s=_TIMEOUT_S) as client:
        evaluation = evaluate_answers(client, given.collection, questions, by=given.by, options=options, told=told)
    if given.report is not None:
        for path in write_answers_report(given.report, evaluation):
            output.note(f"wrote {path}")
    _show(evaluation, output)
    return ExitCode.OK


def _of_tenant(
    given: argparse.Namespace, questions: "list[AnsweredQuestion]", rows_of: Callable[[Path, int], list[list[float]]]
) -> "list[AnsweredQuestion]":
    """The questions, for the tenant of `--tenant` where they name none, with the vectors of `--vectors`."""
    from msgspec.structs import replace

    if given.vectors is not None:
        rows = rows_of(given.vectors, len(questions))
        questions = [replace(one, vector=tuple(row)) for one, row in zip(questions, rows, strict=True)]
    return [one if one.tenant else replace(one, tenant=given.tenant) for one in questions]


def _show(evaluation: "AnswersEvaluation", output: Output) -> None:
    from vdb.evaluation.answer_report import MEANS

    output.document(
        {
            "collection": evaluation.collection,
            "by": evaluation.by,
            "backend": evaluation.backend,
            "threshold": evaluation.threshold,
            "n_answerable": evaluation.n_answerable,
            "n_unanswerable": evaluation.n_unanswerable,
            **evaluation.means,
            "tenants": evaluation.tenants,
            "curve": evaluation.curve,
        }
    )
    if output.is_json:
        return
    output.line(f"{evaluation.n_answerable} answerable questions, {evaluation.n_unanswerable} others")
    output.line(f"backend {evaluation.backend}, threshold {evaluation.threshold:g}")
    width = max(map(len, MEANS.values()))
    output.lines(
        [f"{what:<{width}}  {evaluation.means[name]:.4f}" for name, what in MEANS.items() if name in evaluation.means]
    )
