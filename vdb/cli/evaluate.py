"""`vdb eval`: how well a collection answers judged queries, leg by leg and fused; and runs that others have made."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdb.cli.commands import Commands
from vdb.cli.evaluate_answers import add_answers, evaluate_answers_of
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected

if TYPE_CHECKING:
    from vdb.evaluation import EvaluateOptions, Evaluation, Query
    from vdb.evaluation.files import Run
    from vdb.evaluation.measures import Measured

__all__ = ["add"]

_METRICS = ("nDCG@10", "R@5", "R@100", "RR@10")
_TIMEOUT_S = 660.0


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "eval",
        _eval,
        "measure how well a collection answers judged queries",
        description="Ask a collection judged queries by vectors, by words and by both, and measure the answers; or "
        "measure runs in TREC's form, or answers. Files are in the forms of BEIR, TREC or SQuAD. "
        "Needs the extra `eval`.",
        examples=(
            "vdb eval --collection handbook --tenant acme --queries queries.jsonl --qrels qrels.tsv",
            "vdb eval --collection handbook --queries queries.jsonl --qrels qrels.tsv --learn --report out",
            "vdb eval --collection handbook --tenant acme --answers questions.jsonl --by document --report out",
            "vdb eval --qrels qrels.txt --run-file ours.trec --run-file theirs.trec --metrics nDCG@10 AP",
        ),
    )
    parser.add_argument("--collection", metavar="NAME", help="what to ask; without it only --run-file is measured")
    parser.add_argument("--queries", type=Path, metavar="FILE", help="queries: JSON Lines, or a TSV of id and text")
    parser.add_argument("--qrels", type=Path, metavar="FILE", help="judgements: BEIR's TSV, or TREC's")
    parser.add_argument("--vectors", type=Path, metavar="FILE", help=".npy file, a row per query in the file's order")
    parser.add_argument("--mode", choices=("dense", "sparse", "hybrid", "all"), default="all", help="(default: all)")
    parser.add_argument(
        "--metrics", nargs="+", default=list(_METRICS), metavar="NAME", help=f"(default: {' '.join(_METRICS)})"
    )
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="hits of a query (default: 100)")
    parser.add_argument(
        "--by", default="point", metavar="WHAT", help="what judgements name: point (default), or a payload field"
    )
    parser.add_argument(
        "--run", type=Path, dest="written", metavar="FILE", help="write the run of --mode in TREC's form"
    )
    parser.add_argument(
        "--run-file", type=Path, action="append", default=[], metavar="FILE", help="measure this run too; repeatable"
    )
    parser.add_argument("--learn", action="store_true", help="learn the fusion from a share of the judged queries")
    parser.add_argument(
        "--learn-share", type=float, default=0.5, metavar="X", help="share that teaches; the others are judged (0.5)"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --learn: the collection does not keep it")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw of that share (default: 0)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.md, report.html and plot.svg there")
    add_answers(parser)
    add_server(parser, tenant=True)


def _eval(given: argparse.Namespace, output: Output) -> int:
    from vdb.evaluation import read_qrels, read_run, write_report, write_run

    if given.answers is not None:
        return evaluate_answers_of(given, output, _rows)
    if given.qrels is None:
        raise WrongUsage("name the judgements (--qrels), or questions with their answers (--answers)")
    options = _options(given)
    qrels = read_qrels(given.qrels)
    queries = _queries(given, list(qrels))
    runs: dict[str, Run] = {str(path): read_run(path) for path in given.run_file}
    evaluation = _evaluated(given, output, queries, qrels, options, runs)
    if given.written is not None:
        name = "learned" if given.learn else given.mode
        write_run(given.written, evaluation.runs[name], name)
    if given.report is not None:
        for path in write_report(given.report, evaluation):
            output.note(f"wrote {path}")
    _show(evaluation, output)
    return ExitCode.OK


def _options(given: argparse.Namespace) -> "EvaluateOptions":
    from vdb.evaluation import EvaluateOptions
    from vdb.evaluation.evaluate import MODES

    if given.collection is None and not given.run_file:
        raise WrongUsage("name what is to be measured: --collection, --run-file or both")
    if given.collection is None and (given.learn or given.written is not None):
        raise WrongUsage("--learn and --run need a --collection")
    if given.collection is not None and given.queries is None:
        raise WrongUsage("--collection needs --queries")
    if given.written is not None and given.mode == "all" and not given.learn:
        raise WrongUsage("--run writes one run: choose its --mode")
    if given.limit < 1:
        raise WrongUsage("--limit is 1 or more")
    return EvaluateOptions(
        collection=given.collection or "",
        modes=MODES if given.mode == "all" else (given.mode,),
        metrics=tuple(given.metrics),
        limit=given.limit,
        by=given.by,
        learn=given.learn,
        learn_share=given.learn_share,
        dry_run=given.dry_run,
        seed=given.seed,
    )


def _queries(given: argparse.Namespace, judged: list[str]) -> "list[Query]":
    """The queries of the file, for the tenant of `--tenant` where they name none; else all that were judged."""
    from msgspec.structs import replace

    from vdb.evaluation import Query, read_queries

    if given.queries is None:
        return [Query(name, "") for name in judged]
    queries = read_queries(given.queries)
    if given.vectors is not None:
        rows = _rows(given.vectors, len(queries))
        queries = [replace(query, vector=tuple(row)) for query, row in zip(queries, rows, strict=True)]
    return [query if query.tenant else replace(query, tenant=given.tenant) for query in queries]


def _rows(path: Path, n_queries: int) -> list[list[float]]:
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except OSError as exc:
        raise WrongUsage(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, EOFError) as exc:
        raise WrongUsage(f"{path} is not a .npy file of numbers") from exc
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim != 2:
        raise WrongUsage(f"{path} does not hold an array of numbers of two dimensions")
    if len(array) != n_queries:
        raise WrongUsage(f"{path} has {len(array)} rows, and there are {n_queries} queries")
    rows: list[list[float]] = array.astype(np.float32).tolist()
    return rows


def _evaluated(
    given: argparse.Namespace,
    output: Output,
    queries: "list[Query]",
    qrels: dict[str, dict[str, int]],
    options: "EvaluateOptions",
    runs: "dict[str, Run]",
) -> "Evaluation":
    from vdb.evaluation import evaluate

    def told(name: str, n_done: int, n_queries: int) -> None:
        if output.is_drawn:
            output.draw(f"\r{name}: {n_done:,} of {n_queries:,} queries" + ("\n" if n_done == n_queries else ""))

    if given.collection is None:
        return evaluate(None, queries, qrels, options, runs)
    with connected(given, timeout_s=_TIMEOUT_S) as client:
        return evaluate(client, queries, qrels, options, runs, told)


def _show(evaluation: "Evaluation", output: Output) -> None:
    """A table of the runs, of each tenant where there are several; for programs all figures."""
    from vdb.cli.table import table

    output.document(_document(evaluation))
    if output.is_json:
        return
    output.line(f"{evaluation.n_queries} judged queries")
    if evaluation.n_without_judgements:
        output.line(f"{evaluation.n_without_judgements} queries without a relevant document are left out")
    output.lines(_means(evaluation.systems, evaluation.metrics))
    if evaluation.compared:
        columns = ("name", "against", "metric", "difference", "standard_error", "n_better", "n_worse")
        output.lines(["", *table(evaluation.compared, columns)])
    if evaluation.learned is not None:
        fusion = evaluation.learned.fusion
        kept = "kept" if evaluation.learned.kept else "not kept"
        output.lines(
            ["", f"learned from {evaluation.learned.n_queries} queries: {fusion.kind}, {fusion.weight:g}, {kept}"]
        )
    for tenant, systems in evaluation.tenants.items():
        output.lines(["", f"tenant {tenant}", *_means(systems, evaluation.metrics)])


def _means(systems: "list[Measured]", metrics: list[str]) -> list[str]:
    """Lines of a table: a run, its metrics to four digits."""
    width = max(len(system.name) for system in systems)
    heading = " ".join([" " * width, *(f"{metric:>9}" for metric in metrics)])
    rows = [
        " ".join([f"{system.name:<{width}}", *(f"{system.means[metric]:>9.4f}" for metric in metrics)])
        for system in systems
    ]
    return [heading, *rows]


def _document(evaluation: "Evaluation") -> dict[str, Any]:
    """The evaluation without the runs and each query's figures."""

    def means(systems: "list[Measured]") -> list[dict[str, Any]]:
        return [{"name": system.name, "n_queries": system.n_queries, **system.means} for system in systems]

    return {
        "collection": evaluation.collection,
        "by": evaluation.by,
        "n_queries": evaluation.n_queries,
        "n_without_judgements": evaluation.n_without_judgements,
        "runs": means(evaluation.systems),
        "compared": evaluation.compared,
        "learned": evaluation.learned,
        "tenants": {tenant: means(systems) for tenant, systems in evaluation.tenants.items()},
    }
