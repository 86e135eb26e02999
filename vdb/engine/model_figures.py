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
        *_backend_metrics(services),
    ]  # fmt: skip


def _backend_metrics(services: Services) -> list[Sample]:
    figures = [({"backend": name}, found) for name, found in services.models.backend_figures()]
    tokens = [({**label, "kind": "prompt"}, found.prompt_tokens) for label, found in figures]
    tokens += [({**label, "kind": "completion"}, found.completion_tokens) for label, found in figures]
    return [
        ("vdb_backend_calls_total", "counter", "Answers that the backend was asked for.",
         [(label, found.n_calls) for label, found in figures]),
        ("vdb_backend_failures_total", "counter", "Calls that the backend failed, retries included.",
         [(label, found.n_failed) for label, found in figures]),
        ("vdb_backend_refusals_total", "counter", "Calls that it refused, as for a prompt that is too long.",
         [(label, found.n_refused) for label, found in figures]),
        ("vdb_backend_cancelled_total", "counter", "Calls that nobody waited for any more.",
         [(label, found.n_cancelled) for label, found in figures]),
        ("vdb_backend_retries_total", "counter", "Attempts after the first.",
         [(label, found.n_retries) for label, found in figures]),
        ("vdb_backend_seconds_total", "counter", "Seconds that those calls took.",
         [(label, found.seconds) for label, found in figures]),
        ("vdb_backend_first_tokens_total", "counter", "Calls that gave a piece of an answer.",
         [(label, found.n_first) for label, found in figures]),
        ("vdb_backend_first_token_seconds_total", "counter", "Seconds until those gave the first.",
         [(label, found.first_token_seconds) for label, found in figures]),
        ("vdb_backend_tokens_total", "counter", "Tokens of the calls that succeeded.", list(tokens)),
        ("vdb_backend_load", "gauge", "Calls under way and waiting, of those that are let through at a time.",
         [(label, 0.0 if found.is_open else found.load) for label, found in figures]),
        ("vdb_backend_open", "gauge", "1 while the backend is not asked because it failed.",
         [(label, float(found.is_open)) for label, found in figures]),
    ]  # fmt: skip
