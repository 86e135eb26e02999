"""The choice of an encoding: what it chose against the cheapest of its grid, and the time and loss of projections.

For each corpus a choice is made from its rows, or from recorded queries; then every candidate of the grid is built and
swept with queries that the choice has not seen. `excess` is the CPU time of what was chosen over that of the cheapest,
at the target recall of each.
"""

import time
from collections.abc import Sequence

import numpy as np

from bench import report
from bench.choice.corpora import Corpus, corpora
from bench.choice.loss import losses
from bench.choice.sweep import K, Sweep, Swept
from vdb.index.curator.choice import Candidate, candidates, choose
from vdb.index.curator.costs import measured_costs
from vdb.index.curator.training import clustered
from vdb.index.leanvec.projection import fit_queries, fit_rows
from vdb.kernels import Kernels, cpu_kernels

TARGET = 0.99
_N_AGAIN = 5


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("choice", __doc__)
    parser.add_argument("--n", type=int, default=20_000, help="rows of each corpus, at most (default: 20,000)")
    parser.add_argument("--only", help="only corpora with this in their name")
    parser.add_argument("--every", type=int, default=1, help="only every so many reduced dimensions (default: 1)")
    given = parser.parse_args(arguments)
    kernels = cpu_kernels()
    figures = _fits(given.seed) + _trees(given.seed)
    for corpus in (one for one in corpora(given.n, given.seed) if (given.only or "") in one.name):
        figures += _measure(corpus, kernels, given.every, given.seed)
        figures += [
            report.Figure(f"{corpus.name}: loss of {name}, d = {corpus.rows.shape[1] // 3}", value, "", bar)
            for name, value, bar in losses(corpus)
        ]
    return report.publish("choice", arguments, given.results, figures)


def _measure(corpus: Corpus, kernels: Kernels, every: int, seed: int) -> list[report.Figure]:
    grid = _thinned(candidates(corpus.rows.shape[1], corpus.recorded is not None), every)
    started = time.perf_counter()
    cost = measured_costs(corpus.rows.shape[1], corpus.metric, kernels)
    chosen = choose(corpus.rows, corpus.recorded, corpus.metric, cost, tried=grid, target=TARGET, k=K, seed=seed)
    took_s = time.perf_counter() - started
    sweep = Sweep(corpus, kernels, TARGET, seed)
    swept = {candidate: sweep.of(candidate) for candidate in grid}
    print(f"\n{corpus.name}: {len(corpus.rows):,} × {corpus.rows.shape[1]}, chosen in {took_s:.1f} s", flush=True)
    for trial in chosen.trials:
        mark = "chosen" if trial is chosen.best else ""
        expected = f"{trial.cost_us:7.1f} µs expected" if trial.reached else f"{trial.recall:.3f} at best    "
        print(f"  {_name(trial.candidate):<22} {expected}  {_line(swept[trial.candidate])}  {mark}", flush=True)
    first = sorted(grid, key=lambda one: swept[one].us)[:_N_AGAIN]
    again = {one: sweep.again(one, swept[one].effort) for one in {*first, chosen.best.candidate}}
    least = min(again, key=again.__getitem__)
    mine = again[chosen.best.candidate]
    return [
        report.Figure(f"{corpus.name}: chosen, {_name(chosen.best.candidate)}", mine, "µs"),
        report.Figure(f"{corpus.name}: cheapest, {_name(least)}", again[least], "µs"),
        report.Figure(f"{corpus.name}: excess", mine / again[least], "×", 1.1),
        report.Figure(f"{corpus.name}: choosing", took_s, "s"),
    ]


def _thinned(grid: list[Candidate], every: int) -> list[Candidate]:
    dimensions = sorted({one.encoding.dimension for one in grid})
    kept = {*dimensions[every - 1 :: every], dimensions[-1]}
    return [one for one in grid if one.encoding.dimension in kept]


def _name(candidate: Candidate) -> str:
    suffix = " for queries" if candidate.for_queries else ""
    return f"{candidate.encoding.form.name.lower()} {candidate.encoding.dimension}{suffix}"


def _line(swept: Swept) -> str:
    if not np.isfinite(swept.us):
        return "target not reached"
    return f"{swept.us:7.1f} µs at {swept.recall:.4f}, budget {swept.effort.budget}, m {swept.effort.candidates}"


def _trees(seed: int) -> list[report.Figure]:
    """The time of a tree of 100,000 × 384 for as many rows, likewise."""
    rng = np.random.default_rng([seed, 23])
    centres = rng.standard_normal((500, 384), dtype=np.float32)
    rows = centres[rng.integers(500, size=100_000)] + rng.standard_normal((100_000, 384), dtype=np.float32)
    started = time.process_time()
    clustered(rows, len(rows), seed)
    return [report.Figure("tree, 100,000 × 384", time.process_time() - started, "s", 6.0)]


def _fits(seed: int) -> list[report.Figure]:
    """The time of both fits at 100,000 × 768, in CPU seconds of this process."""
    rng = np.random.default_rng([seed, 21])
    scale = np.linspace(2, 0.1, 768, dtype=np.float32)
    rows = rng.standard_normal((100_000, 768), dtype=np.float32) * scale
    asked = rng.standard_normal((2_000, 768), dtype=np.float32) * scale[::-1]
    started = time.process_time()
    fit_rows(rows, 192)
    between = time.process_time()
    fit_queries(rows, asked, 192)
    ended = time.process_time()
    return [
        report.Figure("fit for rows, 100,000 × 768", between - started, "s", 5.0),
        report.Figure("fit for queries, 100,000 × 768", ended - between, "s", 5.0),
    ]
