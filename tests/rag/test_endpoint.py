"""How model servers are asked: what is tried again, what is not, and that nothing is waited for or read for ever."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.rag.model_server import ModelServer, Request, Say, Script, serving
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag import endpoint as module
from vdb.rag.breaker import N_FAILURES
from vdb.rag.connection import address_of
from vdb.rag.endpoint import Endpoint, Patience

QUICK = Patience(connect_timeout_s=5.0, timeout_s=20.0, n_retries=2, concurrency=2, max_answer_bytes=1000)
DONE = Say({"done": True})


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)


@contextmanager
def asking(script: Script, patience: Patience = QUICK, **more: Any) -> Iterator[tuple[Endpoint, ModelServer]]:
    with serving(script) as server:
        endpoint = Endpoint("model 'm'", address_of(server.url, "url"), patience, **more)
        try:
            yield endpoint, server
        finally:
            endpoint.close()


def after(n: int, fault: Say) -> Script:
    """The fault `n` times, and then an answer."""
    return lambda request, number: fault if number < n else DONE


def replaced(**given: Any) -> Patience:
    fields = ("connect_timeout_s", "timeout_s", "n_retries", "concurrency", "max_answer_bytes")
    return Patience(**{name: getattr(QUICK, name) for name in fields} | given)


def test_json_is_posted_with_the_key_and_the_connection_is_kept() -> None:
    with asking(after(0, DONE), api_key="secret-key") as (endpoint, server):
        assert [endpoint.post(b'{"a":1}') for _ in range(3)] == [b'{"done": true}'] * 3
        assert server.n_connections == 1
        first = server.asked[0]
        assert (first.path, first.body, first.headers["authorization"]) == ("/v1/asked", {"a": 1}, "Bearer secret-key")
        assert first.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "fault",
    [
        Say({}, 500),
        Say({}, 503, {"Retry-After": "0"}),
        Say({}, 429, {"Retry-After": "nonsense"}),
        Say({}, 408),
        Say(b"", cut=-1),
        Say({"long": "x" * 500}, cut=20),
        Say(b"", headers={"Content-Length": "", "Transfer-Encoding": "chunked"}, cut=0),
    ],
    ids=["500", "503", "429", "408", "nothing", "half a body", "half a chunked body"],
)
def test_what_may_pass_is_tried_again_until_it_has_failed_too_often(fault: Say) -> None:
    with asking(after(2, fault)) as (endpoint, server):
        assert endpoint.post(b"{}") == b'{"done": true}'
        assert len(server.asked) == 3
    with asking(after(3, fault)) as (endpoint, server):
        with pytest.raises(ModelUnavailable, match=r"model 'm' (answered|cannot be asked)"):
            endpoint.post(b"{}")
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (
            400,
            {"error": {"code": "context_length_exceeded", "message": "text"}},
            InvalidArgument,
            "400 .context_length",
        ),
        (413, {}, InvalidArgument, "refused the text: 413"),
        (422, {"error": "a text that says too much"}, InvalidArgument, "refused the text: 422$"),
        (401, {"error": {"code": None, "type": "invalid_api_key"}}, ModelUnavailable, "key: 401 .invalid_api_key."),
        (404, [[[[]]]], ModelUnavailable, "answered 404$"),
        (404, {"code": "a text, not a word"}, ModelUnavailable, "answered 404$"),
        (302, {}, ModelUnavailable, "redirects .302."),
        (204, b"", ModelUnavailable, "answered 204$"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(status: int, body: Any, error: type[Exception], said: str) -> None:
    headers = {"Location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {}
    with asking(lambda *_: Say(body, status, headers)) as (endpoint, server):
        with pytest.raises(error, match=said):
            endpoint.post(b"{}")
        assert len(server.asked) == 1


@pytest.mark.parametrize("said", ["31", "1e9", "9" * 400, "in an hour"])
def test_a_server_that_wants_long_pauses_is_reported_at_once(said: str) -> None:
    if said == "in an hour":
        said = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with asking(lambda *_: Say({}, 429, {"Retry-After": said})) as (endpoint, server):
        with pytest.raises(ModelUnavailable, match="answered 429") as caught:
            endpoint.post(b"{}")
        if said == "1e9":  # is no number of seconds
            assert (caught.value.retry_after_s, len(server.asked)) == (None, 3)
        else:
            assert caught.value.retry_after_s is not None and caught.value.retry_after_s > 30
            assert len(server.asked) == 1


def test_an_answer_has_an_end_of_time_however_it_comes() -> None:
    never = threading.Event()
    for slow in (Say({}, wait=never), Say({"a": "x" * 100}, drip_s=0.05)):
        with asking(lambda *_, slow=slow: slow, replaced(timeout_s=0.2, n_retries=1)) as (endpoint, _):
            with pytest.raises(ModelUnavailable, match="did not answer in time"):
                endpoint.post(b"{}")
            never.set()


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "", "Connection": "close"}], ids=["length", "until closed"])
def test_an_answer_is_read_up_to_its_cap(headers: dict[str, str]) -> None:
    with asking(lambda *_: Say(b"x" * 100_000, headers=headers, is_last=True)) as (endpoint, server):
        with pytest.raises(ModelUnavailable, match="more than 1000 bytes"):
            endpoint.post(b"{}")
        assert len(server.asked) == 1
    with asking(lambda *_: Say(b"x" * 1000, headers=headers, is_last=True)) as (endpoint, _):
        assert endpoint.post(b"{}") == b"x" * 1000


def test_connections_that_the_server_has_closed_meanwhile_cost_no_attempt() -> None:
    with asking(after(0, DONE), replaced(n_retries=0)) as (endpoint, server):
        endpoint.post(b"{}")
        server.drop_connections()
        assert endpoint.post(b"{}") == b'{"done": true}'
        assert (server.n_connections, len(server.asked)) == (2, 2)


def test_an_answer_that_is_the_last_ends_its_connection() -> None:
    with asking(lambda *_: Say({}, is_last=True)) as (endpoint, server):
        assert [endpoint.post(b"{}") for _ in range(2)] == [b"{}", b"{}"]
        assert server.n_connections == 2


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoint = Endpoint("model 'm'", address_of(f"http://127.0.0.1:{port}", "url"), QUICK)
    with pytest.raises(ModelUnavailable, match="ConnectionRefused") as caught:
        endpoint.post(b"{}")
    assert str(port) not in str(caught.value), "an address is nobody's business"


def test_no_more_are_asked_for_at_once_than_allowed() -> None:
    begin = threading.Barrier(2)

    def script(request: Request, number: int) -> Say:
        begin.wait(20)
        return DONE

    with asking(script) as (endpoint, server):
        threads = [threading.Thread(target=endpoint.post, args=(b"{}",)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (server.most_at_once, len(server.asked)) == (2, 6)
        assert server.n_connections == 2


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_server_that_keeps_failing_is_left_alone_for_a_while() -> None:
    clock = Clock()
    with asking(after(N_FAILURES + 1, Say({}, 500)), replaced(n_retries=0), clock=clock) as (endpoint, server):
        for _ in range(N_FAILURES):
            with pytest.raises(ModelUnavailable, match="answered 500"):
                endpoint.post(b"{}")
        with pytest.raises(ModelUnavailable, match="not asked for a while") as caught:
            endpoint.post(b"{}")
        assert (caught.value.retry_after_s, len(server.asked)) == (1.0, N_FAILURES)
        clock.now += 1.0
        with pytest.raises(ModelUnavailable, match="answered 500"):
            endpoint.post(b"{}")
        clock.now += 1.9
        with pytest.raises(ModelUnavailable, match="not asked for a while"):
            endpoint.post(b"{}")
        clock.now += 0.1
        endpoint.post(b"{}")
        endpoint.post(b"{}")


def test_a_server_that_is_away_for_days_is_still_unavailable_and_then_asked_again() -> None:
    """The pause doubled past what a float holds: OverflowError, a 500."""
    clock = Clock()
    endpoint = Endpoint("model 'm'", address_of("http://127.0.0.1:1/", "url"), replaced(n_retries=0), clock=clock)
    for _ in range(1100):
        with pytest.raises(ModelUnavailable, match="cannot be asked"):
            endpoint.post(b"{}")
        clock.now += 30.0


def test_a_text_that_is_refused_is_no_failure_of_the_server() -> None:
    with asking(after(N_FAILURES + 5, Say({}, 400))) as (endpoint, _):
        for _ in range(N_FAILURES + 5):
            with pytest.raises(InvalidArgument):
                endpoint.post(b"{}")
        assert endpoint.post(b"{}") == b'{"done": true}'


@pytest.mark.parametrize("does_pause", [False, True], ids=["waiting for an answer", "between attempts"])
def test_closing_ends_calls_under_way(does_pause: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 20.0)
    never, is_asked, errors = threading.Event(), threading.Event(), list[Exception]()

    def script(request: Request, number: int) -> Say:
        is_asked.set()
        return Say({}, 500) if does_pause else Say({}, wait=never)

    def ask(post: Callable[[bytes], bytes]) -> None:
        try:
            post(b"{}")
        except ModelUnavailable as exc:
            errors.append(exc)

    with asking(script) as (endpoint, _):
        thread = threading.Thread(target=ask, args=(endpoint.post,))
        thread.start()
        assert is_asked.wait(20)
        endpoint.close()
        thread.join(15)
        assert not thread.is_alive() and len(errors) == 1
        never.set()
        with pytest.raises(ModelUnavailable, match="not asked any more"):
            endpoint.post(b"{}")


def test_certificates_are_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving(after(0, DONE), context) as server:
        trusting = Endpoint("model 'm'", address_of(server.url, "url", str(tmp_path / "ca.pem")), QUICK)
        assert [trusting.post(b"{}") for _ in range(2)] == [b'{"done": true}'] * 2
        assert server.n_connections == 1
        trusting.close()
        other = Endpoint("model 'm'", address_of(server.url, "url"), replaced(n_retries=0))
        with pytest.raises(ModelUnavailable, match="CertVerification"):
            other.post(b"{}")


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a/b", "http://", "a/b", "http://u:p@a/b", "http://a:99999/", "http://a/b c", "http://a/\n", "http://[::1",
     "http://ä/", "http://a/#b"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^here"):
        address_of(url, "here")


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "absent.pem"):
        with pytest.raises(InvalidArgument, match="holds no certificates"):
            address_of("https://a", "here", str(tmp_path / name))


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://models.example", "models.example", "/"),
        ("http://models.example:80/v1", "models.example", "/v1"),
        ("http://models.example:443/v1?a=b", "models.example:443", "/v1?a=b"),
        ("https://models.example:443/v1", "models.example", "/v1"),
        ("http://[::1]:8000/v1", "[::1]:8000", "/v1"),
    ],
)
def test_a_request_names_its_host_and_target(url: str, host: str, target: str) -> None:
    lines = address_of(url, "url").head.decode().split("\r\n")
    assert lines == [f"POST {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity", ""]


def test_a_request_is_sent_in_one_piece() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = address_of(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "url")
        endpoint = Endpoint("model 'm'", address, QUICK)
        asker = threading.Thread(target=endpoint.post, args=(b'{"a":1}',))
        asker.start()
        connection, _ = listener.accept()
        with connection:
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            asker.join(QUICK.timeout_s)
        endpoint.close()
    assert body == b'{"a":1}' and b"\r\nContent-Length: 7" in head and b"\r\nContent-Type: application/json" in head
