"""What models were asked, for /metrics: by the name of the model, never by tenant or text."""

from vdb.engine.services import Services

__all__ = ["Sample", "model_metrics"]

Sample = tuple[str, str, str, list[tuple[dict[str, str], float]]]


def model_metrics(services: Services) -> list[Sample]:
    """Counters of every model of the server since its start, and how many calls wait for a thread."""
    figures = [({"kind": kind, "model": name}, found) for kind, name, found in services.models.figures()]
    return [
        ("vdb_model_calls_total", "counter", "Calls of the model.",
         [(label, found.n_calls) for label, found in figures]),
        ("vdb_model_failures_total", "counter", "Calls that failed, retries included.",
         [(label, found.n_failed) for label, found in figures]),
        ("vdb_model_texts_total", "counter", "Texts in those calls.",
         [(label, found.n_texts) for label, found in figures]),
        ("vdb_model_seconds_total", "counter", "Seconds that those calls took.",
         [(label, found.seconds) for label, found in figures]),
        ("vdb_model_calls_waiting", "gauge", "Calls of slow models that wait for a thread.",
         [({}, services.model_calls.n_waiting)]),
        ("vdb_query_vectors_bytes", "gauge", "Bytes of vectors kept of texts that were searched for.",
         [({}, services.query_vectors.n_bytes)]),
    ]  # fmt: skip
