"""The whole of an evaluation: ask in every way, learn where wanted, measure, compare, by tenant too."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from vdb.client.sync import Operations
from vdb.errors import InvalidArgument
from vdb.evaluation.asking import POINT, ask
from vdb.evaluation.files import Qrels, Query, Run
from vdb.evaluation.measures import DEFAULT_METRICS, Measured, Measures
from vdb.protocol.text_answers import FusionLearned

LEGS = ("dense", "sparse")
MODES = (*LEGS, "hybrid")
_LEARNED_BY = {"nDCG": "ndcg", "R": "recall", "RR": "mrr"}

Told = Callable[[str, int, int], None]
"""Told the name of a run, how many queries are answered, and of how many."""


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """`modes` are asked of `collection` ("": nothing is asked); `by` is `point` or the payload field whose values
    judgements name. With `learn` a share of the queries, drawn by `seed`, teaches the fusion, and the others are judged
    (with a share of 1 all do both); with `dry_run` the collection does not keep it."""

    collection: str = ""
    modes: tuple[str, ...] = MODES
    metrics: tuple[str, ...] = DEFAULT_METRICS
    limit: int = 100
    by: str = POINT
    learn: bool = False
    learn_share: float = 0.5
    dry_run: bool = False
    seed: int = 0


class Compared(Struct):
    """A run beside the better leg: the mean difference of a metric, its standard error, queries better and worse."""

    name: str
    against: str
    metric: str
    difference: float
    standard_error: float
    n_better: int
    n_worse: int


class Evaluation(Struct):
    """What came of it. `systems` are the runs measured; `tenants` holds them by tenant, where there are several."""

    collection: str
    by: str
    metrics: list[str]
    n_queries: int
    n_without_judgements: int
    systems: list[Measured]
    compared: list[Compared]
    tenants: dict[str, list[Measured]]
    recall_by_depth: dict[str, list[float]]
    learned: FusionLearned | None = None
    runs: dict[str, Run] = field(default_factory=dict)


def evaluate(
    client: Operations | None,
    queries: Sequence[Query],
    qrels: Qrels,
    options: EvaluateOptions,
    given: dict[str, Run] | None = None,
    told: Told = lambda name, n_done, n_queries: None,
) -> Evaluation:
    """Evaluate a collection in every mode wanted, and the runs `given`, on the queries that have a relevant document.

    Raises InvalidArgument where no query has one, or for a metric that is not known.
    """
    measures = Measures(options.metrics)
    answered = {query: grades for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    judged = [query for query in queries if query.id in answered]
    if not judged:
        raise InvalidArgument("no query of the file has a relevant document among the judgements")
    teaching, tested = _divided(judged, options)
    runs: dict[str, Run] = {}
    learned = None
    if client is not None:
        for mode in options.modes:
            runs[mode] = _ask(client, tested, mode, mode, options, told)
        if options.learn:
            learned = _learned(client, teaching, answered, options, measures.names[0])
            fusion = {"kind": learned.fusion.kind, "weight": learned.fusion.weight}
            runs["learned"] = _ask(client, tested, "hybrid", "learned", options, told, fusion)
    runs |= given or {}
    relevant = {query.id: answered[query.id] for query in tested}
    systems = [measures.of(name, relevant, run) for name, run in runs.items()]
    return Evaluation(
        options.collection,
        options.by,
        measures.names,
        len(tested),
        len(queries) - len(judged),
        systems,
        _compared(systems, measures.names[0]),
        _by_tenant(tested, relevant, runs, measures),
        {name: _recall_by_depth(relevant, run, options.limit) for name, run in runs.items()},
        learned,
        runs,
    )


def _ask(
    client: Operations,
    queries: Sequence[Query],
    mode: str,
    name: str,
    options: EvaluateOptions,
    told: Told,
    fusion: dict[str, Any] | None = None,
) -> Run:
    def done(n_done: int) -> None:
        told(name, n_done, len(queries))

    return ask(
        client,
        options.collection,
        queries,
        mode=mode,
        limit=options.limit,
        by=options.by,
        fusion=fusion,
        told=done,
    )


def _divided(judged: list[Query], options: EvaluateOptions) -> tuple[list[Query], list[Query]]:
    """Those that teach, those that are judged."""
    if not options.learn:
        return [], judged
    if not 0.0 < options.learn_share <= 1.0:
        raise InvalidArgument("the share that teaches is above 0 and at most 1")
    if options.learn_share == 1.0:
        return judged, judged
    n_teaching = round(options.learn_share * len(judged))
    order = np.random.default_rng(options.seed).permutation(len(judged))
    if not 0 < n_teaching < len(judged):
        raise InvalidArgument(f"{len(judged)} judged queries are too few to learn from some and judge by the others")
    chosen = set(order[:n_teaching].tolist())
    return (
        [query for place, query in enumerate(judged) if place in chosen],
        [query for place, query in enumerate(judged) if place not in chosen],
    )


def _learned(client: Operations, queries: Sequence[Query], qrels: Qrels, options: EvaluateOptions, metric: str) -> Any:
    named = re.fullmatch(r"(nDCG|R|RR)@(\d{1,4})", metric)
    if named is None:
        raise InvalidArgument(f"fusion is learned by nDCG@k, R@k or RR@k, not by {metric}: name one of them first")
    collection: Any = client.collection(options.collection, queries[0].tenant)
    judged = [
        {
            "text": query.text,
            "relevant": {name: max(grade, 0) for name, grade in qrels[query.id].items()},
            **({} if query.vector is None else {"vector": list(query.vector)}),
            **({} if query.tenant is None else {"tenant": query.tenant}),
        }
        for query in queries
    ]
    return collection.learn_fusion(
        judged,
        metric=_LEARNED_BY[named[1]],
        at=int(named[2]),
        field=None if options.by == POINT else options.by,
        dry_run=options.dry_run,
        timeout_s=60.0,
    )


def _compared(systems: Sequence[Measured], metric: str) -> list[Compared]:
    """Every run beside the better leg by the first metric; beside the first run where no leg was asked."""
    legs = [system for system in systems if system.name in LEGS] or list(systems[:1])
    better = max(legs, key=lambda system: system.means[metric])
    compared = []
    for system in systems:
        if system.name == better.name:
            continue
        of, beside = system.by_query[metric], better.by_query[metric]
        gains = np.array([of.get(query, 0.0) - value for query, value in beside.items()])
        error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
        compared.append(
            Compared(
                system.name,
                better.name,
                metric,
                float(gains.mean()),
                error,
                int((gains > 1e-12).sum()),
                int((gains < -1e-12).sum()),
            )
        )
    return compared


def _by_tenant(
    queries: Sequence[Query], qrels: Qrels, runs: dict[str, Run], measures: Measures
) -> dict[str, list[Measured]]:
    tenants = {query.tenant for query in queries}
    if len(tenants) < 2:
        return {}
    found = {}
    for tenant in sorted(tenants, key=lambda name: name or ""):
        own = {query.id: qrels[query.id] for query in queries if query.tenant == tenant}
        part = [measures.of(name, own, {query: run.get(query, {}) for query in own}) for name, run in runs.items()]
        found[tenant or ""] = part
    return found


def _recall_by_depth(qrels: Qrels, run: Run, depth: int) -> list[float]:
    """The mean share of relevant documents among the first 1, 2, … `depth` of a run."""
    total: NDArray[np.float64] = np.zeros(depth)
    for query, grades in qrels.items():
        scores = run.get(query, {})
        ordered = sorted(scores, key=lambda document: -scores[document])[:depth]
        relevant = [grades.get(document, 0) > 0 for document in ordered] + [False] * (depth - len(ordered))
        total += np.cumsum(relevant) / sum(grade > 0 for grade in grades.values())
    return [float(value) for value in total / len(qrels)]
