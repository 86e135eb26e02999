"""Where a server is, and how to talk to it: the URL taken apart, and the options both HTTP transports share."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vdb.client.retry import RetryPolicy
from vdb.client.wire import TENANT_HEADER, header_value
from vdb.errors import InvalidArgument

_MAX_TIMEOUT_S = 1e6


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """`prefix` is the path before `/v1`, empty unless the server stands behind a proxy that adds one."""

    scheme: str
    host: str
    port: int | None
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "ServerUrl":
        """Raises InvalidArgument unless `url` is http(s)://host[:port][/prefix]."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except (ValueError, AttributeError, TypeError) as exc:
            raise InvalidArgument("the server's url is malformed") from exc
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
            raise InvalidArgument("the server's url must be http(s)://host[:port][/prefix]")
        if not host.isascii() or not host.isprintable() or " " in host:
            raise InvalidArgument("the server's host must be printable ASCII (punycode for other names)")
        return cls(parts.scheme, host, port, header_value(parts.path.rstrip("/"), "the url's path"))

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`timeout_s` is a whole call's, retries included; `n_connections` is how many are kept open."""

    timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    n_connections: int = 16
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ssl_context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for name in ("timeout_s", "connect_timeout_s"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 < value <= _MAX_TIMEOUT_S:
                raise InvalidArgument(f"{name} must be a number of seconds, above 0 and at most {_MAX_TIMEOUT_S:.0f}")


def trusting(ca_file: str | None, ssl_context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """The context given, or one that trusts the authorities of a PEM file only; None stands for the system's.

    Raises InvalidArgument for a file that cannot be used, and for both.
    """
    if ca_file is None:
        return ssl_context
    if ssl_context is not None:
        raise InvalidArgument("give ca_file or ssl_context, not both")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError, TypeError) as exc:
        raise InvalidArgument(f"ca_file {ca_file!r} cannot be used: {exc}") from exc


class Headers:
    """Headers of a request; the key stands nowhere else, and never in a repr."""

    def __init__(self, api_key: str) -> None:
        self._base = {"Authorization": "Bearer " + header_value(api_key, "api_key"), "User-Agent": "vdb-client"}

    def of(self, media_type: str, tenant: str | None) -> dict[str, str]:
        headers = {**self._base, "Content-Type": media_type}
        if tenant is not None:
            headers[TENANT_HEADER] = header_value(tenant, "tenant")
        return headers
