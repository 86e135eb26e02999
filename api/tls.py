"""TLS: the certificate of new connections, taken anew from its files while the server runs.

Every handshake asks for the context of that moment (the server-name callback runs with and without a name), so a
renewal is one reference put in place of another: connections that stand are not touched, and none sees a certificate
with the key of the one before. Files that cannot be used leave the certificate as it is.
"""

import logging
import os
import ssl

from vdb.errors import InvalidArgument

POLL_S = 60.0
"""How often the server looks whether the files have changed."""

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """The certificate chain and key of a server. Belongs to one event loop, and needs no closing."""

    def __init__(self, cert: str, key: str) -> None:
        """Raises InvalidArgument where the files are not a chain and its key, or the key wants a password."""
        self._cert, self._key = cert, key
        self._stamp = _stamp_of(cert, key)
        self._current = _context(cert, key)
        self.context = self._current
        """What the listener is opened with; it hands every connection on to the context of now."""
        self.context.sni_callback = self._take_current

    def reload(self) -> None:
        """Use the files as they are now; if they cannot be used, keep what there is and say so in the log."""
        stamp = _stamp_of(self._cert, self._key)  # before they are read: what changes after it is seen the next time
        try:
            self._current = _context(self._cert, self._key)
        except InvalidArgument as exc:
            _log.error("the certificate was not renewed", extra={"fields": {"reason": exc.detail}})
        else:
            _log.info("the certificate was read again", extra={"fields": {"tls_cert": self._cert}})
        self._stamp = stamp

    def reload_if_changed(self) -> None:
        """`reload` where a file is not what it was when it was read last."""
        if _stamp_of(self._cert, self._key) != self._stamp:
            self.reload()

    def _take_current(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_refuse_password)
    except (OSError, ValueError) as exc:
        raise InvalidArgument(f"cannot use tls_cert {cert} with tls_key {key}: {exc}") from exc
    return context


def _refuse_password() -> str:
    """Asked for where a key is encrypted; without it OpenSSL would ask the terminal, and wait."""
    raise ValueError("a key with a password is not supported")


def _stamp_of(*paths: str) -> _Stamp:
    """What tells a file from the one before; zeros where there is none."""
    return tuple(map(_file_stamp, paths))


def _file_stamp(path: str) -> tuple[int, int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return 0, 0, 0
    return state.st_ino, state.st_size, state.st_mtime_ns
