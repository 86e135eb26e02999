"""Text as data inside a prompt: escaped so that nothing in it acts, and so that it can be read back exactly.

Both forms use the escapes of a JSON string (RFC 8259 §7). Escaped is what could be taken for something else:

- `[` and what looks like it: citations (`[1]`, `【1】`), `[INST]`, labels of passages;
- `<` before anything but a space: `<|im_start|>`, `<s>`, `</s>`, tags;
- `{{`, `{%`, `{#`: templates of chats;
- a role at the beginning of a line: `system:`, `### Assistant:`;
- what is not seen: controls, separators of lines, marks of direction, zero-width and tag characters. The two joiners
  stay between letters of scripts that are written with them.
"""

import json
import re

import msgspec

__all__ = ["neutral", "neutral_turn", "read_back", "read_back_turn"]

_ROLES = (
    "system|developer|user|human|assistant|ai|model|bot|tool|function|instructions?|context|question|answer|passages?"
)
_ROLE = rf"(?:\#{{1,6}} {{0,4}})?[*_]{{0,3}}(?:{_ROLES})[*_]{{0,3}} {{0,4}}"
_ROLE_FIRST = re.compile(rf"((?:\\t|[ >*_]){{0,8}}{_ROLE})([:\uff1a])", re.IGNORECASE)
_ROLE_LATER = re.compile(rf"(\\[nr](?:\\t|[ >*_]){{0,8}}{_ROLE})([:\uff1a])", re.IGNORECASE)
_ROLE_LINES = re.compile(rf"^([ \t>*_]{{0,8}}{_ROLE})([:\uff1a])", re.IGNORECASE | re.MULTILINE)
"""Counts are bounded: what repeats without end would be tried at each of its characters."""
_TAG = re.compile(r"<(?! )")
_BRACES = re.compile(r"\{(?=[{%#])|(?<=\{)\{")
_HIDDEN = (
    "\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u3010\u3014\u301a\uff3b\uff1c"
)
"""Also brackets that look like `[` or `<`."""
_MAY_BE_HIDDEN = re.compile(f"[{_HIDDEN}\u200c\u200d]")
_IS_HIDDEN = re.compile(
    f"[{_HIDDEN}]|(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200c\u200d])"
)
"""A joiner stays between two characters beyond ASCII that are none themselves."""
_PLAIN = bytes(range(0x7F))
"""Bytes of characters that are never hidden."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")
_CODE = re.compile(r"\\(?=u)")
_CODED = re.compile(r"(?:\\u[0-9a-f]{4})+")


def neutral(text: str) -> str:
    """The text as what stands between the quotes of a JSON string: one line, without a quote. `read_back` undoes it."""
    if not text:  # titles and headings often are
        return ""
    try:
        inside = msgspec.json.encode(text).decode()[1:-1]
    except UnicodeEncodeError:  # half of a surrogate pair
        inside = json.dumps(text)[1:-1]
    if _ROLE_FIRST.match(inside):
        inside = _ROLE_FIRST.sub(_without_colon, inside, count=1)
    if "\\" in inside and ("\\n" in inside or "\\r" in inside):  # looking for one character costs next to nothing
        inside = _ROLE_LATER.sub(_without_colon, inside)
    return _without_marks(inside)


def neutral_turn(text: str) -> str:
    """The text of a turn of a chat: as `neutral`, but lines, tabs, quotes and backslashes stay.

    A backslash is escaped before a `u` only. `read_back_turn` undoes it.
    """
    inside = _CODE.sub(r"\\u005c", text)
    inside = _CONTROLS.sub(_escaped, inside)
    return _without_marks(_ROLE_LINES.sub(_without_colon, inside))


def read_back(inside: str) -> str:
    """The text that `neutral` was given."""
    text: str = json.loads(f'"{inside}"')
    return text


def read_back_turn(inside: str) -> str:
    """The text that `neutral_turn` was given."""
    return _CODED.sub(lambda match: str(json.loads(f'"{match[0]}"')), inside)


def _without_marks(inside: str) -> str:
    if "[" in inside:
        inside = inside.replace("[", "\\u005b")
    if "<" in inside:
        inside = _TAG.sub(r"\\u003c", inside)
    if "{" in inside and ("{{" in inside or "{%" in inside or "{#" in inside):
        inside = _BRACES.sub(r"\\u007b", inside)
    if (not inside.isascii() or "\x7f" in inside) and _MAY_BE_HIDDEN.search(_beyond_plain(inside)):
        inside = _IS_HIDDEN.sub(_escaped, inside)
    return inside


def _beyond_plain(text: str) -> str:
    """The characters of a text that may be hidden: an expression takes far longer over all of them than this does."""
    coded = text.encode("utf-8", "surrogatepass").translate(None, _PLAIN)
    return coded.decode("utf-8", "surrogatepass")


def _without_colon(match: re.Match[str]) -> str:
    return f"{match[1]}\\u{ord(match[2]):04x}"


def _escaped(match: re.Match[str]) -> str:
    code = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))
