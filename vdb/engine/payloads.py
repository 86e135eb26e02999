"""Payloads as stored bytes: encoding, the size cap, and RFC 7396 merge patches."""

from typing import Any

import msgspec

from vdb.errors import InvalidJson, PayloadTooLarge


def merge_patch(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`target` changed by `patch`: null removes a key, objects merge, all else replaces. Source: RFC 7396 §2.

    Neither argument is changed; the result may share nested values with both.
    """
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = merge_patch(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def payload_bytes(payload: dict[str, Any], pointer: str = "/payload") -> bytes:
    """`payload` as compact JSON; InvalidJson at `pointer` if it holds what JSON cannot say."""
    try:
        return msgspec.json.encode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as exc:
        raise InvalidJson.at(pointer, "payload cannot be written as JSON") from exc


def check_payload_size(raw: bytes, limit_bytes: int, pointer: str) -> None:
    """PayloadTooLarge at `pointer` if `raw` is longer than `limit_bytes`."""
    if len(raw) > limit_bytes:
        raise PayloadTooLarge.at(pointer, f"payload of {len(raw)} bytes exceeds the limit of {limit_bytes}")
