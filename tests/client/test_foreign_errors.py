"""Every exception of the HTTP libraries becomes a TransportError; none is left out, in releases to come either."""

import http.client
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import pytest

from vdb.client import connections, http_aio
from vdb.errors import TransportError, TransportTimeout


def _family(base: type[BaseException], module: str) -> Iterator[type[BaseException]]:
    if base.__module__.startswith(module):
        yield base
    for child in base.__subclasses__():
        yield from _family(child, module)


def _bare(cls: type[BaseException]) -> BaseException:
    """An instance, whatever the constructor asks for."""
    made = type(cls.__name__, (cls,), {"__init__": lambda self: None, "__str__": lambda self: "why"})()
    assert isinstance(made, BaseException)
    return made


STANDARD = sorted(set(_family(http.client.HTTPException, "http")), key=str)
AIOHTTP = sorted(set(_family(aiohttp.ClientError, "aiohttp")), key=str)
SYSTEM: list[type[BaseException]] = [OSError, ConnectionResetError, socket.gaierror, TimeoutError, ssl.SSLError]


@pytest.mark.parametrize("cls", STANDARD + SYSTEM, ids=lambda cls: cls.__name__)
def test_standard_library_exceptions_are_caught_and_translated(cls: type[BaseException]) -> None:
    assert issubclass(cls, connections.FOREIGN)
    assert isinstance(connections.translate(_bare(cls)), TransportError)


@pytest.mark.parametrize("cls", AIOHTTP + SYSTEM, ids=lambda cls: cls.__name__)
def test_aiohttp_exceptions_are_caught_and_translated(cls: type[BaseException]) -> None:
    assert issubclass(cls, http_aio.foreign(aiohttp))
    assert isinstance(http_aio.translate(_bare(cls), aiohttp), TransportError)


def test_only_what_may_pass_is_tried_again() -> None:
    passing = [http.client.RemoteDisconnected("gone"), http.client.IncompleteRead(b""), ConnectionResetError()]
    final = [ssl.SSLCertVerificationError("certificate"), TimeoutError(), UnicodeError("label too long")]
    assert [connections.translate(exc).retry_after_s for exc in passing] == [0.0] * 3
    assert [connections.translate(exc).retry_after_s for exc in final] == [None] * 3


def test_a_timeout_is_tried_again_only_while_connecting() -> None:
    assert connections.translate(TimeoutError(), is_connecting=True).retry_after_s == 0.0
    assert isinstance(connections.translate(TimeoutError()), TransportTimeout)
    late, early = aiohttp.ServerTimeoutError(), aiohttp.ConnectionTimeoutError()
    assert [http_aio.translate(exc, aiohttp).retry_after_s for exc in (late, early)] == [None, 0.0]
