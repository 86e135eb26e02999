"""Seeded vectors, ids and payloads for cost workloads: what they hold does not matter, their sizes do."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.connection import binary_request, request

PAYLOAD = '{"lang":"en","year":%d,"title":"document %09d"}'
"""49 bytes once filled in."""


def unit_vectors(n: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Random directions (n, dimension) float32, of length 1."""
    drawn = np.random.default_rng(seed).standard_normal((n, dimension), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def payload(number: int) -> dict[str, Any]:
    """A point's payload, about 50 bytes of JSON."""
    decoded: dict[str, Any] = json.loads(PAYLOAD % (1990 + number % 40, number))
    return decoded


def json_upsert(collection: str, key: str, first: int, vectors: NDArray[np.float32]) -> bytes:
    """An upsert of points `p<first>`… with payloads, in JSON; numbers as `tolist` spells them."""
    points = [
        {"id": f"p{number}", "vector": vector, "payload": payload(number)}
        for number, vector in enumerate(vectors.tolist(), first)
    ]
    body = json.dumps({"points": points}, separators=(",", ":"))
    return request("POST", f"/v1/collections/{collection}/points", key, body.encode())


def binary_upsert(collection: str, key: str, first: int, vectors: NDArray[np.float32]) -> bytes:
    """The same upsert with a binary body."""
    numbers = range(first, first + len(vectors))
    head = {"ids": [f"p{number}" for number in numbers], "payloads": [payload(number) for number in numbers]}
    return binary_request(f"/v1/collections/{collection}/points", key, head, vectors)
