"""Server-sent events out of bytes, however they are cut; and what a chat's chunks add up to.

Servers differ in what they call compatible. An answer may be events or one body of JSON; events may end with `[DONE]`
or with the connection; a body may be an error though its status is 200. An answer without a `finish_reason` is not
whole: some servers say `[DONE]` where they break one off. What is no answer raises Unusable with what was wrong, never
with what was said.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from vdb.rag.generate.base import ContextTooLong
from vdb.rag.generate.too_long import tokens_over
from vdb.rag.refusals import Failed, Unusable, code_in, shown_code

__all__ = ["MAX_EVENT_BYTES", "MAX_TEXT_BYTES", "EventParser", "Reply", "Silent"]

MAX_EVENT_BYTES = 1 << 20
MAX_TEXT_BYTES = 1 << 20
"""Of an answer: one that never ends is no answer."""
_MAX_BODY_BYTES = 8 << 20
_MAX_TOKENS = 1 << 40
_DONE = b"[DONE]"
_CUT = frozenset(("length", "max_tokens", "model_length"))
_NO_ANSWER = frozenset(("content_filter", "tool_calls", "function_call", "error", "abort"))
_PASSING = ("overloaded", "rate_limit", "unavailable", "server_error", "timeout", "too_many")
"""Parts of codes of errors that may be none a moment later."""


class Silent(Failed):
    """A stream ended that said nothing: some servers say why only to whom asks for no stream."""


class EventParser:
    """Bytes of `text/event-stream` to the data of its events. One thread feeds it.

    Lines end with CRLF, LF or CR; comments and fields other than `data` are passed over.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._n_bytes = 0
        self._has_begun = self._is_after_cr = False

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The events that are whole by now, each as its lines of data; raises Unusable where one is too long."""
        if not data:
            return []
        skipped = 1 if self._is_after_cr and data[:1] == b"\n" else 0  # the second half of a line's end
        self._is_after_cr = data[-1:] == b"\r"
        self._rest += data[skipped:]
        if b"\n" not in data and b"\r" not in data:
            if len(self._rest) > MAX_EVENT_BYTES:
                raise Unusable("sends an event that is too long")
            return []
        lines = bytes(self._rest).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = bytearray(lines.pop())
        return [event for line in lines if (event := self._taken(line)) is not None]

    def finish(self) -> list[list[bytes]]:
        """What is left at the end of the stream: servers forget the empty line."""
        rest = self._taken(bytes(self._rest)) if self._rest else None
        last = self._taken(b"")
        return [event for event in (rest, last) if event is not None]

    def _taken(self, line: bytes) -> list[bytes] | None:
        if not self._has_begun:
            self._has_begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            event, self._data, self._n_bytes = self._data, [], 0
            return event or None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._n_bytes += len(value)
            if self._n_bytes > MAX_EVENT_BYTES:
                raise Unusable("sends an event that is too long")
            self._data.append(value.removeprefix(b" "))
        return None


class Reply:
    """One attempt's answer as its bytes come. One thread feeds it; pieces of text go to `emit` at once."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._parser = EventParser()
        self._body: bytearray | None = None
        self._head = bytearray()
        self._is_events = False
        self._pieces: list[str] = []
        self._n_bytes = 0
        self._has_reasoned = False
        self.finish_reason: str | None = None
        self.usage: tuple[int, int] | None = None
        """Tokens of the prompt and of the answer, where the server told them."""
        self.model: str | None = None
        self.is_done = False
        """Whether nothing more will come."""

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def has_begun(self) -> bool:
        """Whether a piece was emitted: then nothing can be tried again."""
        return bool(self._pieces)

    def feed(self, data: bytes) -> None:
        """Raises Failed (try again), Unusable, ContextTooLong."""
        if not self._is_events and self._body is None:
            data = self._begun(data)
        if self._body is not None:
            self._body += data
            if len(self._body) > _MAX_BODY_BYTES:
                raise Unusable("answers with too much for an answer")
        elif self._is_events:
            for event in self._parser.feed(data):
                self._take(event)

    def finish(self) -> None:
        """The stream is over; raises Failed where the answer is not, and as `feed`."""
        if self._body is not None:
            self._take_body(bytes(self._body))
            return
        if not self.is_done:
            for event in self._parser.finish():
                self._take(event)
        if self.finish_reason is None:
            raise Failed("broke off") if self.has_begun else Silent("answered nothing")
        self.is_done = True

    def checked(self) -> Literal["stop", "length"]:
        """`stop` or `length`, why a whole answer ended; raises Unusable where that is no answer."""
        reason = self.finish_reason or "stop"
        if reason in _NO_ANSWER:
            raise Unusable(f"ended with {reason}, not with an answer", is_askers=True)
        if not self.text.strip():
            why = " within max_tokens: it only reasoned" if self._has_reasoned and reason in _CUT else ""
            raise Unusable(f"gave an empty answer{why}", is_askers=True)
        return "length" if reason in _CUT else "stop"

    def _begun(self, data: bytes) -> bytes:
        """What there is so far, once it says whether it is events or a body; nothing before."""
        self._head += data
        start = bytes(self._head).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if not start:
            if len(self._head) > MAX_EVENT_BYTES:
                raise Unusable("answers with nothing but white space")
            return b""
        if start == b"<":
            raise Unusable("answers with a page, not with an answer")
        if start in (b"{", b"["):
            self._body = bytearray()
        else:
            self._is_events = True
        data, self._head = bytes(self._head), bytearray()
        return data

    def _take(self, lines: list[bytes]) -> None:
        """One event. Some servers leave out the empty line between two: then each line is one."""
        joined = b"\n".join(lines)
        if self.is_done or not joined.strip():
            return
        if len(lines) > 1:
            try:
                msgspec.json.decode(joined)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                for line in lines:
                    self._take([line])
                return
        if joined.strip() == _DONE:
            self.is_done = True
            return
        self._take_chunk(_decoded(joined), "delta")

    def _take_body(self, body: bytes) -> None:
        if self.is_done:
            return
        self._take_chunk(_decoded(body), "message")
        if self.finish_reason is None and not self.has_begun:
            raise Unusable("answers with JSON that is no answer")
        self.is_done = True

    def _take_chunk(self, chunk: Any, place: str) -> None:
        if not isinstance(chunk, dict):
            raise Unusable("answers with JSON that is no answer")
        self._check_no_error(chunk)
        if isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        self._note_usage(chunk.get("usage"))
        choices = chunk.get("choices")
        if choices is None or choices == []:  # usage, or what a server adds
            return
        if not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise Unusable("answers with choices that are none")
        choice = choices[0]
        said = choice.get(place)
        if said is None:
            said = choice.get("message" if place == "delta" else "delta")
        if said is not None and not isinstance(said, dict):
            raise Unusable("answers with a choice that says nothing")
        self._say(said or {})
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason

    def _say(self, said: dict[str, Any]) -> None:
        if said.get("tool_calls") or said.get("function_call"):
            raise Unusable("calls a tool, though it was given none", is_askers=True)
        self._has_reasoned = self._has_reasoned or bool(said.get("reasoning_content") or said.get("reasoning"))
        piece = _text_of(said.get("content"))
        if piece:
            self._n_bytes += len(piece.encode())
            if self._n_bytes > MAX_TEXT_BYTES:
                raise Unusable("gives an answer without an end", is_askers=True)
            self._pieces.append(piece)
            self._emit(piece)

    def _note_usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            prompt, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if type(prompt) is int and type(answer) is int and 0 < prompt < _MAX_TOKENS and 0 <= answer < _MAX_TOKENS:
                self.usage = prompt, answer

    def _check_no_error(self, chunk: dict[str, Any]) -> None:
        """Raise what an error in place of a chunk stands for."""
        error = chunk.get("error")
        if not error and chunk.get("object") != "error":
            return
        number = error.get("code") if isinstance(error, dict) else None
        is_limit = number == HTTPStatus.TOO_MANY_REQUESTS
        n_over = None if is_limit or self.has_begun else tokens_over(chunk)
        if n_over is not None:
            raise ContextTooLong(n_over)
        code = code_in(error if isinstance(error, dict) else chunk)
        what = f"answers with an error{shown_code(code)}"
        is_passing = is_limit or (type(number) is int and number >= HTTPStatus.INTERNAL_SERVER_ERROR)
        if not self.has_begun and (is_passing or any(part in code.lower() for part in _PASSING)):
            raise Failed(what)
        raise Unusable(what)


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:  # what it says may quote the answer
        raise Unusable("answers with what is no JSON") from exc


def _text_of(content: Any) -> str:
    """The text of a message's content: a string, nothing, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text", "") if isinstance(part, dict) else part for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
    raise Unusable("answers with content that is no text")
