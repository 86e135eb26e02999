"""`vdb serve`: one process, one event loop, one port.

Order of the start: descriptor limit, certificate, sockets, engine, loop; so a taken port costs nothing and the first
admin key is made by a server that can show it. Order of the end: stop accepting, finish what is in flight, close the
engine. SIGHUP, and a look every minute, renew the certificate.
The URL, the first admin key and a curl line are announced once; the log goes to stderr.
"""

import asyncio
import contextlib
import ctypes
import functools
import ipaddress
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
import uvloop

from vdb.config import Settings
from vdb.engine.audit import AuditLog
from vdb.engine.engine import Engine
from vdb.errors import InvalidArgument, Unavailable

from . import app, heap, logs, tls
from .deps import Service
from .tls import Certificate
from .traces import Traces
from .transport import HttpProtocol

_log = logging.getLogger(__name__)

_GRACE_S = 8  # less than the ten seconds that container runtimes wait before they kill
_BACKLOG = 2048
_SWITCH_S = (
    0.0005  # a scan of the store gives way to the event loop this soon; the usual 5 ms are a request's whole time
)
_KEEP_ALIVE_S = 75
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

Announce = Callable[[str], None]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: several servers share one loop, and a signal is not an error."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, announce: Announce, warnings: Sequence[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; `announce` gets the lines for standard output, the log gets `warnings`.

    Raises InvalidArgument for settings that are refused, Unavailable for an address that is taken, and what
    `Engine.open` raises. Call it from the main thread.
    """
    logs.configure(settings.log_level)
    for warning in warnings:
        _log.warning(warning)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be heard: a reload must not end a server that starts
    _raise_descriptor_limit()
    _map_large_blocks()
    sys.setswitchinterval(_SWITCH_S)
    _check_exposure(settings)
    _check_workers()
    certificate = Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert else None
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(_listen(settings.host, settings.port))]
        if settings.metrics_port:
            listeners.append(opened.enter_context(_listen("127.0.0.1", settings.metrics_port)))
        audit_log = AuditLog.of(settings)  # refused before the engine makes a first key that nobody would see
        traces = Traces.of(settings)
        if traces is not None:
            opened.callback(traces.close)
        engine = opened.enter_context(contextlib.closing(Engine.open(settings)))
        if traces is not None:
            engine.services.stages = traces
        _check_known_key(settings, engine, announce)
        _warn_of_clear_text(settings)
        service = opened.enter_context(contextlib.closing(Service(engine, settings, audit_log, traces)))
        edge = opened.enter_context(contextlib.closing(app.create(service, settings)))
        applications = (edge, app.create_metrics(service))
        servers = [
            (_server(application, secured), listener)
            for application, secured, listener in zip(
                applications, (certificate, None), listeners, strict=False
            )  # the second has a port or has not
        ]
        heap.settle(engine.await_kernels)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            greet = functools.partial(_greet, engine, listeners[0], certificate is not None, announce)
            runner.run(_serve_all(servers, certificate, greet, service.streams.end_soon))


async def _serve_all(
    servers: list[tuple[_Server, socket.socket]],
    certificate: Certificate | None,
    greet: Callable[[], None],
    end_streams: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        end_streams()
        for server, _ in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, _renew, certificate)
    watch = asyncio.create_task(_watch(certificate))
    greet()  # the sockets listen already: a connection made now waits until it is accepted
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
    watch.cancel()


def _renew(certificate: Certificate | None) -> None:
    """What SIGHUP asks for: read files anew."""
    if certificate is not None:
        certificate.reload()


async def _watch(certificate: Certificate | None) -> None:
    while certificate is not None:
        await asyncio.sleep(tls.POLL_S)
        certificate.reload_if_changed()


def _server(application: Any, certificate: Certificate | None) -> _Server:
    config = uvicorn.Config(
        application,
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_context_factory=None if certificate is None else lambda config, make: certificate.context,
    )
    return _Server(config)


def _check_workers() -> None:
    """Uvicorn reads how many from the environment."""
    if uvicorn.Config("", log_config=None).workers > 1:
        raise InvalidArgument(
            "more than one worker is refused: a data directory has one server (unset WEB_CONCURRENCY)"
        )


def _greet(engine: Engine, listener: socket.socket, is_secure: bool, announce: Announce) -> None:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    scheme = "https" if is_secure else "http"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    key = engine.first_admin_key
    announce(f"URL: {url}")
    if key is not None:
        announce(_shown_once(key))
    announce(
        f'Try: curl {url}/v1/collections -H "Authorization: Bearer {key or "$VDB_ADMIN_KEY"}" '
        """-H "Content-Type: application/json" -d '{"name":"notes","dimension":3,"metric":"cosine"}'"""
    )


def _shown_once(key: str) -> str:
    return f"Admin key (shown once): {key}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise Unavailable(f"cannot listen on {host}: {exc}") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except (OSError, OverflowError) as exc:
        listener.close()
        raise Unavailable(f"cannot listen on {host}:{port}: {exc}") from exc
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_exposure(settings: Settings) -> None:
    """Refuse to be reachable from elsewhere while nobody can hold a key; nothing has been made yet."""
    if _is_loopback(settings.host) or settings.admin_key:
        return
    if not settings.data_dir.is_dir() or not any(settings.data_dir.iterdir()):
        raise InvalidArgument(
            f"{settings.host} is not loopback: give VDB_ADMIN_KEY or VDB_ADMIN_KEY_FILE, or start once on 127.0.0.1"
        )


def _check_known_key(settings: Settings, engine: Engine, announce: Announce) -> None:
    """The directory was there but held no admin key: show the one just made, and refuse to be reachable this time."""
    if engine.first_admin_key is not None and not _is_loopback(settings.host):
        announce(_shown_once(engine.first_admin_key))
        raise InvalidArgument(f"{settings.host} is not loopback and there was no admin key until now: start again")


def _warn_of_clear_text(settings: Settings) -> None:
    if not (_is_loopback(settings.host) or settings.tls_cert or settings.trusted_proxies):
        _log.warning("keys and data travel in the clear: give tls_cert and tls_key, or name trusted_proxies")


def _map_large_blocks() -> None:
    """Have glibc map every block of 2 MiB anew instead of clearing a used one; does nothing on other C libraries.

    LMDB takes such a block per open environment and touches little of it. glibc stops mapping them after the first is
    freed: a used block is cleared, which made it 1.9 MB of memory per open collection instead of 0.04. A threshold that
    is set no longer adapts, nor does the one for giving memory back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _raise_descriptor_limit() -> None:
    """Three descriptors per open collection and one per connection outgrow the usual soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # macOS reports an infinite hard limit and refuses it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 10_240), hard))
