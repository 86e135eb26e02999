"""Turn the decoder's complaint into ours: `$.points[3].id` in its message becomes the JSON pointer `/points/3/id`.

msgspec says where only in its message, as a path of field names and indexes; the key of a mapping is written `[...]`,
so the pointer stops at the mapping. A field that is missing or unknown is pointed at itself, not at its object.
"""

import re

import msgspec

from vdb.errors import InvalidArgument, UnknownField, VdbError
from vdb.protocol.strict_json import child_pointer

_PLACE = re.compile(r"\A(?P<text>.*) - at (?:`key` in )?`(?P<path>\$[^`]*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.(?P<field>\w+)|\[(?P<index>\d+)\]|(?P<mapping>\[\.\.\.\])")
_UNKNOWN = re.compile(r"\AObject contains unknown field `(?P<name>.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"\AObject missing required field `(?P<name>.*)`\Z", re.DOTALL)


def from_validation_error(exc: msgspec.ValidationError, prefix: str = "") -> VdbError:
    """The InvalidArgument or UnknownField that says what `exc` says; `prefix` is where the decoded value stands."""
    found = _PLACE.match(str(exc))
    text, path = (found["text"], found["path"]) if found else (str(exc), "$")
    pointer = prefix + pointer_of(path)
    if unknown := _UNKNOWN.match(text):
        return UnknownField.at(child_pointer(pointer, unknown["name"]), "unknown field")
    if missing := _MISSING.match(text):
        return InvalidArgument.at(child_pointer(pointer, missing["name"]), "this field is required")
    return InvalidArgument.at(pointer, _plain(text))


def pointer_of(path: str) -> str:
    """The JSON pointer of a msgspec path: `$.points[3].id` gives `/points/3/id`."""
    pointer = ""
    for step in _STEP.finditer(path):
        if step["mapping"]:
            break
        pointer += "/" + (step["field"] or step["index"])
    return pointer


def _plain(text: str) -> str:
    plain = text.replace("`", "")
    return plain[:1].lower() + plain[1:]
