"""Forwarded headers: believed from trusted peers only, and no client can write itself another address."""

import pytest

from vdb.config import Settings
from vdb.errors import InvalidArgument
from vdb_api.forwarded import Origin

PROXY = "10.0.0.1"


def scope(peer: str | None, *forwarded: str, proto: tuple[str, ...] = ()) -> dict[str, object]:
    headers = [(b"x-forwarded-for", text.encode("latin-1")) for text in forwarded]
    headers += [(b"x-forwarded-proto", text.encode()) for text in proto]
    return {"client": None if peer is None else (peer, 1), "headers": headers, "scheme": "http"}


def client(trusted: tuple[str, ...], peer: str | None, *forwarded: str) -> str:
    return Origin(trusted).client_of(scope(peer, *forwarded))


def test_without_trusted_proxies_nothing_is_believed() -> None:
    assert client((), "203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert Origin(()).scheme_of(scope("203.0.113.9", proto=("https",))) == "http"


def test_a_peer_that_is_not_trusted_is_the_client_whatever_it_says() -> None:
    assert client((PROXY,), "203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert Origin((PROXY,)).scheme_of(scope("203.0.113.9", proto=("https",))) == "http"


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        ((), PROXY),
        (("198.51.100.1",), "198.51.100.1"),
        (("127.0.0.1, 198.51.100.1",), "198.51.100.1"),  # the client wrote 127.0.0.1
        (("10.0.0.1, 198.51.100.1",), "198.51.100.1"),  # ... or the proxy's own address
        (("10.0.0.7", "198.51.100.1"), "198.51.100.1"),  # ... or a header line of its own
        (("198.51.100.1, 10.0.0.2",), "198.51.100.1"),  # two proxies
        (("10.0.0.3, 10.0.0.2",), "10.0.0.3"),  # a client inside
        (("198.51.100.1:4711",), "198.51.100.1"),
        (("[2001:db8::1]:4711",), "2001:db8::1"),
        (("2001:db8::1",), "2001:db8::1"),
        (("fe80::1%any text",), "fe80::1"),
        (("::ffff:198.51.100.1",), "198.51.100.1"),
        (("198.51.100.1, unknown",), PROXY),
        (("198.51.100.1, ",), PROXY),
        (('198.51.100.1, "evil\nline"',), PROXY),
        (("198.51.100.1\xff",), PROXY),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxy(forwarded: tuple[str, ...], found: str) -> None:
    assert client(("10.0.0.0/8",), PROXY, *forwarded) == found


def test_an_ipv4_peer_on_an_ipv6_socket_is_trusted_by_its_ipv4_address() -> None:
    assert client((PROXY,), f"::ffff:{PROXY}", "198.51.100.1") == "198.51.100.1"


def test_a_transport_without_addresses_has_no_client() -> None:
    assert client((PROXY,), None, "198.51.100.1") == ""


def test_the_scheme_is_what_the_nearest_proxy_says() -> None:
    origin = Origin((PROXY,))
    assert origin.scheme_of(scope(PROXY, proto=("https",))) == "https"
    assert origin.scheme_of(scope(PROXY, proto=("https, http",))) == "http"
    assert origin.scheme_of(scope(PROXY, proto=("ftp",))) == "http"
    assert origin.scheme_of(scope(PROXY)) == "http"


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.256", ""])
def test_what_is_no_address_or_network_is_refused_at_start(text: str) -> None:
    with pytest.raises(InvalidArgument, match="trusted_proxies"):
        Settings.load(None, {}, trusted_proxies=(text,))
