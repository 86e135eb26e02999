"""What was answered, for /metrics: by outcome, stage and backend, never by tenant or text."""

from vdb.engine.services import Services

__all__ = ["Sample", "answer_metrics"]

Sample = tuple[str, str, str, list[tuple[dict[str, str], float]]]


def answer_metrics(services: Services) -> list[Sample]:
    """Counters of answers since the start, and how many are under way."""
    figures, generations, sets = services.answers, services.generations, services.result_sets
    return [
        ("vdb_answers_total", "counter", "Questions by what became of them.",
         [({"outcome": outcome}, n) for outcome, n in figures.outcomes.items()]),
        ("vdb_answer_cache_total", "counter", "Questions by what the cache in front of them said.",
         [({"result": result}, n) for result, n in figures.cache.items()]),
        ("vdb_result_sets_total", "counter", "Searches of answers by whether their hits were kept.",
         [({"result": "hit"}, sets.n_hits), ({"result": "miss"}, sets.n_misses)]),
        ("vdb_result_sets_evicted_total", "counter", "Result sets that gave way to others.", [({}, sets.n_evicted)]),
        ("vdb_result_sets", "gauge", "Result sets that are kept.", [({}, sets.n_kept)]),
        ("vdb_result_sets_bytes", "gauge", "Bytes of result sets, about.", [({}, sets.n_bytes)]),
        ("vdb_answers_under_way", "gauge", "Questions that wait or are being answered.",
         [({}, generations.n_under_way)]),
        ("vdb_answers_waiting", "gauge", "Questions that wait for a thread.", [({}, generations.n_waiting)]),
        ("vdb_answer_cache_total", "counter", "Questions by what the cache in front of them said.",
         [({"result": result}, n) for result, n in figures.cache.items()]),
        ("vdb_answer_failovers_total", "counter", "Backends asked because the one before failed.",
         [({}, figures.n_failovers)]),
        ("vdb_answer_repacks_total", "counter", "Contexts made smaller because a backend found them too long.",
         [({}, figures.n_repacked)]),
        ("vdb_answer_unknown_citations_total", "counter", "Citations of no passage, which were dropped.",
         [({}, figures.n_unknown_citations)]),
    ]  # fmt: skip
