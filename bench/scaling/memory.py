"""An index in memory by size: what a search counts and takes at two recalls, bytes in RAM, CPU of the build.

Encodings are chosen as the server chooses them. Work is in rows: one scored, one entry scored, and ten for a
candidate that is compared by its vector, as the server's planner counts them.
"""

import argparse
import time

import numpy as np

from bench.report import Figure
from bench.scaling.frontier import TARGETS, Point, around, between, cpu_us, run
from bench.scaling.sets import figures, worlds
from bench.tenants.ours import FACTORS, POWER, Ours
from bench.tenants.workload import Float32s, Int64s, Workload
from vdb.index.curator.model import Model
from vdb.index.curator.profile import CANDIDATE_ROWS

SIZES = (20_000, 60_000, 120_000, 250_000, 500_000, 1_000_000)
SETTINGS = tuple(f"budget {factor} n^{POWER}, candidates {n}" for n in (40, 100, 250) for factor in FACTORS)
COUNTS = ("entries scored", "cells opened", "rows scored", "candidates compared")

Found = dict[str, tuple[float, str]]


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of every size."""
    made: list[Figure] = []
    for workload in worlds(given, SIZES):
        found = figures("memory", len(workload.vectors), _of(workload))
        print(f"{len(workload.vectors):,} points are done", flush=True)
        made += found
    return made


def work(counts: dict[str, float]) -> float:
    """Rows that a search's counts are worth."""
    return counts["entries scored"] + counts["rows scored"] + CANDIDATE_ROWS * counts["candidates compared"]


def model_bytes(model: Model) -> int:
    """Bytes of a model's arrays, those that were computed of it included; its projection apart."""
    held: list[object] = []
    for value in model.__dict__.values():
        held += value if isinstance(value, tuple) else [value]
    return sum(array.nbytes for array in held if isinstance(array, np.ndarray))


def _of(workload: Workload) -> Found:
    ours = Ours()
    began = time.process_time()
    ours.build(workload)
    build_s = time.process_time() - began
    n, index = len(workload.vectors), ours.index
    rows, model = index.state.rows, index.state.model
    found: Found = {
        "CPU of the build": (build_s, "s"),
        "bytes in RAM": (index.nbytes + model_bytes(model), "B"),
        "bytes in RAM per point": ((index.nbytes + model_bytes(model)) / n, "B"),
        "bytes of codes per point": (rows.codes.shape[1], "B"),
        "bytes of directories": (index.state.directories.nbytes, "B"),
        "bytes of the model": (model_bytes(model), "B"),
        "components coded": (model.encoding.dimension, ""),
        "cells": (len(model.leaves), ""),
    }
    return found | _searches(workload, ours)


def _searches(workload: Workload, ours: Ours) -> Found:
    pids = ours.index.state.rows.pids

    def search(query: Float32s) -> tuple[Int64s, Int64s]:
        answer = ours.found(0, query)
        return pids[answer.row[answer.row >= 0]].astype(np.int64), answer.statistics

    points: list[Point] = []
    for setting in SETTINGS:
        ours.use(setting)
        points.append(run(workload, setting, search, COUNTS, work))
    found: Found = {}
    for name, target in TARGETS.items():
        places = around(points, target)
        if places is None:
            continue
        low, high, share = places
        times = []
        for point in (low, high):
            ours.use(point.setting)
            times.append(cpu_us(workload, lambda query: ours.found(0, query)))
        found[f"CPU at {name}"] = (between(times[0], times[1], share), "µs")
        found[f"work at {name}"] = (between(low.work, high.work, share), "rows")
        for count in COUNTS:
            found[f"{count} at {name}"] = (between(low.counts[count], high.counts[count], share), "")
    return found
