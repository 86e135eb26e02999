"""Who a request comes from when a proxy stands between: `X-Forwarded-For` and `-Proto`, believed from known peers only.

A proxy appends the address it was reached from, so the list is read from the right, past further proxies that are
trusted: the first other address is the client's, and what stands left of it is whatever the client wrote. `Forwarded`
(RFC 7239) is not read: a proxy that speaks X-Forwarded-* lets a client's own `Forwarded` through.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from .exchange import Scope

_Address = IPv4Address | IPv6Address

_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"
_SCHEMES = ("http", "https")


class Origin:
    """A request's client and scheme. `trusted` are addresses and networks of proxies; none: nobody is believed."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [ip_network(text) for text in trusted]
        self.is_behind_proxy = bool(trusted)

    def client_of(self, scope: Scope) -> str:
        """The client's address; empty where the transport has none."""
        peer: tuple[str, int] | None = scope.get("client")
        if peer is None:
            return ""
        if not self._trusted or (hop := _address(peer[0])) is None or not self._is_trusted(hop):
            return peer[0]
        for text in reversed(_listed(scope, _FOR)):
            address = _address(text)
            if address is None:
                break  # a proxy that says nothing usable is as far as we know
            hop = address
            if not self._is_trusted(hop):
                break
        return str(hop)

    def scheme_of(self, scope: Scope) -> str:
        """`http` or `https`, as the client spoke it to the outermost known hop."""
        peer = scope.get("client")
        hop = _address(peer[0]) if peer is not None and self._trusted else None
        said = _listed(scope, _PROTO) if hop is not None and self._is_trusted(hop) else []
        return said[-1] if said and said[-1] in _SCHEMES else str(scope["scheme"])

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _listed(scope: Scope, wanted: bytes) -> list[str]:
    """The parts of a header that is a list, over all the lines it is given in."""
    return [part.strip() for value in _values(scope, wanted) for part in value.decode("latin-1").split(",")]


def _values(scope: Scope, wanted: bytes) -> Iterator[bytes]:
    return (value for name, value in scope["headers"] if name == wanted)


def _address(text: str) -> _Address | None:
    """An address with or without a port; an IPv4 one in IPv6 dress is the IPv4 one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])  # a zone is of the machine that wrote it, and may be any text
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
