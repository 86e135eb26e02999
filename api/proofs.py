"""Proofs over the bytes of a hot request that its strict judge would let it pass: no two keys of one object are equal.

They are cheap, and may fail for a request that is good: the judge decides then.
"""

from msgspec import Raw, UnsetType

__all__ = ["keys_differ", "without_numbers", "without_text"]


def without_text(body: bytes, raw: Raw | UnsetType) -> bytes:
    """The body without a text, but with its key before it: the text may look like another key."""
    if isinstance(raw, UnsetType):
        return body
    text = bytes(raw)
    return body.replace(b'"text":' + text, b'"text":', 1).replace(b'"text": ' + text, b'"text":', 1)


def without_numbers(text: bytes) -> bytes:
    """A request without what stands from its first [ to the first ] after it, where that holds no quote.

    That is most of a vector. Without a quote it holds no key and no end of a string: it lies in an array of numbers,
    or inside one string, and no known key has a bracket.
    """
    start = text.find(b"[")
    stop = text.find(b"]", start)
    return text if start < 0 or text.find(b'"', start, stop) >= 0 else text[:start] + text[stop:]


def keys_differ(text: bytes) -> bool:
    """Whether all keys of a JSON object, those of objects in it included, are proved to be different.

    Every key ends before a colon; a colon inside a string only adds an entry that is no key. Without escapes, equal
    keys are equal bytes.
    """
    if b"\\" in text:
        return False
    ends = [piece.rstrip() for piece in text.split(b":")[:-1]]
    keys = {end[end.rfind(b'"', 0, -1) :] for end in ends}
    return len(keys) == len(ends)
