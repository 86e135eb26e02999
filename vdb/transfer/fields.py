"""Which field, array, dataset or column of a source becomes which part of a point, and how values are read.

A payload is named by `--payload`: `all`, `none`, or a list of fields; `name.*` means the members of the object `name`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from vdb.errors import InvalidArgument, VdbError
from vdb.protocol import strict_json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALL, NONE = "all", "none"
_DEFAULT_PAYLOAD = "payload.*"
_MOMENT = msgspec.json.Decoder(datetime)


class BadValue(InvalidArgument):
    """One value of one row is not usable; the text is the reason that is reported. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The mapping, as the options give it; None means the default name of the format, where it is there.

    `id_prefix` makes ids of the row numbers (for text: line numbers), with this before them.
    """

    id: str | None = None
    vector: str | None = None
    payload: str | None = None
    expires_at: str | None = None
    shared_with: str | None = None
    id_prefix: str | None = None

    def __post_init__(self) -> None:
        if self.id is not None and self.id_prefix is not None:
            raise InvalidArgument(
                "ids come from a field or from the row numbers: --id and --id-prefix exclude each other"
            )

    @property
    def payload_names(self) -> tuple[str, ...]:
        """The fields of a payload that is neither all nor none."""
        return _names_in(self.payload or _DEFAULT_PAYLOAD)


@cache
def _names_in(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def payload_of(members: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The payload made of the `names` of a row's `members`; raises BadValue."""
    made: dict[str, Any] = {}
    for name in names:
        if name.endswith(".*"):
            value = members.get(name[:-2])
            if value is not None and not isinstance(value, dict):
                raise BadValue(f"{name[:-2]} is not an object")
            made |= value or {}
        elif name in members:
            made[name] = members[name]
    return made


def id_of(value: Any) -> str:
    """A point's id of a string or an integer; raises BadValue. Length and characters are the server's to judge."""
    if isinstance(value, bytes):
        value = text_of(value, "id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadValue("no id" if value is None else "the id is neither a string nor an integer")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise BadValue("the id is not valid Unicode") from exc
    return value


def moment_of(value: Any) -> datetime | None:
    """An expiry of RFC 3339 text; None for null; raises BadValue."""
    if value is None or isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = _MOMENT.decode(msgspec.json.encode(value))
        except (msgspec.MsgspecError, ValueError, UnicodeError) as exc:
            raise BadValue("expires_at is not a time such as 2030-01-01T00:00:00Z") from exc
    if moment is not None and moment.utcoffset() is None:
        raise BadValue("expires_at has no time zone: 2030-01-01T00:00:00Z has")
    return moment


def moment_of_ms(milliseconds: int) -> datetime | None:
    """An expiry of milliseconds since 1970; None for 0; raises BadValue."""
    try:
        return EPOCH + timedelta(milliseconds=milliseconds) if milliseconds else None
    except OverflowError as exc:
        raise BadValue("expires_at lies outside the years 1970 to 9999") from exc


def grantees_of(value: Any) -> list[str] | None:
    """A sharing list; None for null; raises BadValue."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadValue("shared_with is not a list of tenants")
    return value


def object_of(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object of its text, as strict as the server; raises BadValue."""
    try:
        return strict_json.decode_payload(text, "")
    except VdbError as exc:
        raise BadValue(f"{what}: {exc.detail}") from exc


def list_of(text: bytes, what: str) -> Any:
    """Any JSON value of its text; raises BadValue."""
    try:
        return strict_json.decode(text, "")
    except VdbError as exc:
        raise BadValue(f"{what}: {exc.detail}") from exc


def text_of(data: bytes, what: str) -> str:
    """UTF-8 text; raises BadValue."""
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise BadValue(f"{what} is not UTF-8") from exc
