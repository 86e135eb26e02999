"""Server-sent events out of the bytes of a body, as they come: names and data; comments are left out."""


class EventReader:
    """Takes pieces of a body, gives whole events. For bodies of one server; nothing to close."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """The events that `piece` completes: name and data."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line:
                self._take(line)
            else:
                if self._data:
                    found.append((self._name or "message", b"\n".join(self._data)))
                self._name, self._data = "", []
        return found

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)
