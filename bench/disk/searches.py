"""One index under a cap of memory: recall, pages, memory; latency warm and cold, of one client and of many."""

from pathlib import Path

from bench.disk.lists import made, read
from bench.disk.runs import OURS, Found, ask, ram_bytes
from bench.index.arena import world
from bench.report import Figure
from bench.tenants.workload import K, Workload

CLIENTS = (1, 4, 16)
RECALL_BAR, LISTS_BAR, PAGES_BAR, COLD_BAR, RESIDENT_BAR = 0.95, 32, 150, 2.0, 5.0


def measure(name: str, cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The figures of a workload of `bench tenants`."""
    workload = world(cache, name, seed, is_quick)
    folder = made(cache, workload)
    found = ask(OURS, workload, folder, CLIENTS, is_quick)
    return [
        *_of_answers(found),
        *_of_memory(workload, found),
        *_of_build(workload, folder, found),
        *_of_clients(found),
        *_of_cold(found["cold"]["1"]),
    ]


def _of_answers(found: Found) -> list[Figure]:
    counts, steady = found["counts"], found["steady"]
    pages = counts["pages of lists"] + counts["pages of vectors"]
    return [
        Figure(f"recall@{K}", found["recall"], "", RECALL_BAR, at_least=True),
        Figure("lists per query", counts["lists"], "", LISTS_BAR),
        Figure("pages per query", pages, "", PAGES_BAR),
        Figure("pages of lists per query", counts["pages of lists"], ""),
        Figure("rows scanned per query", counts["rows scanned"], ""),
        Figure("vectors compared per query", counts["vectors compared"], ""),
        Figure("warm, CPU, median", found["warm"]["1"]["cpu us"], "µs"),
        Figure("all queries in turn, p50", steady["p50 us"], "µs"),
        Figure("all queries in turn, p99", steady["p99 us"], "µs"),
        Figure("all queries in turn, bytes read per query", steady["bytes read"], "B"),
    ]


def _of_memory(workload: Workload, found: Found) -> list[Figure]:
    raw = workload.raw_bytes
    return [
        Figure("memory is capped", float(found["capped"]), ""),
        Figure("anonymous memory", 100 * found["anonymous"] / raw, "% of raw", 100 * ram_bytes(workload) / raw),
        Figure("anonymous memory per row", found["anonymous"] / len(workload.vectors), "B"),
    ]


def _of_build(workload: Workload, folder: Path, found: Found) -> list[Figure]:
    kept = read(folder)
    return [
        Figure("points", len(workload.vectors), ""),
        Figure("lists", len(kept.model.leaves), ""),
        Figure("lists and vectors on disk / raw", found["disk bytes"] / workload.raw_bytes, ""),
        Figure("build", kept.build_s, "s"),
        Figure("build, CPU", kept.build_cpu_s, "s"),
    ]


def _of_clients(found: Found) -> list[Figure]:
    figures = []
    for kind in ("warm", "cold"):
        for n_clients, some in found[kind].items():
            name = f"{kind}, {n_clients} client{'s' if n_clients != '1' else ''}"
            figures += [
                Figure(f"{name}, queries/s", some["qps"], ""),
                Figure(f"{name}, p50", some["p50 us"], "µs"),
                Figure(f"{name}, p99", some["p99 us"], "µs"),
                Figure(f"{name}, bytes read per query", some["bytes read"], "B"),
            ]
    return figures


def _of_cold(cold: Found) -> list[Figure]:
    return [
        Figure("floor of the same pages, p50", cold["floor p50 us"], "µs"),
        Figure("cold, p50 / floor", cold["p50 us"] / cold["floor p50 us"], "", COLD_BAR),
        Figure("pages read per cold query", cold["pages"], "", PAGES_BAR),
        Figure("in RAM before a cold query, at most", 100 * cold["stayed"], "% of the files", RESIDENT_BAR),
    ]
