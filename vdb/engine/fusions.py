"""How a collection's legs are fused: what it learned or was told, what a search asks for, the default."""

import math

from msgspec import UNSET, UnsetType

from vdb.errors import InvalidArgument
from vdb.protocol import answers, requests
from vdb.rag.fuse import DEFAULT, FusionOptions
from vdb.storage.catalog import CollectionDocument, FusionDocument


def checked_fusion(given: requests.FusionChoice | None) -> FusionDocument | None:
    """What is stored of a choice; raises InvalidArgument."""
    if given is None:
        return None
    _check(given.weight, given.rrf_k, "/fusion")
    return FusionDocument(kind=given.kind, weight=given.weight, rrf_k=given.rrf_k)


def fusion_answer(stored: FusionDocument | None) -> answers.FusionChoice | None:
    """A choice as callers see it."""
    if stored is None:
        return None
    return answers.FusionChoice(kind=stored.kind, weight=stored.weight, rrf_k=stored.rrf_k)


def fusion_of(collection: CollectionDocument) -> FusionOptions:
    """What holds for a search that says nothing of its fusion."""
    stored = collection.fusion
    return DEFAULT if stored is None else FusionOptions(kind=stored.kind, weight=stored.weight, rrf_k=stored.rrf_k)


def chosen_fusion(collection: CollectionDocument, given: requests.Fusion | UnsetType) -> FusionOptions:
    """What holds for a search: what it says, the rest by the collection. A weight belongs to its kind.

    Where a search names another kind than the collection's without a weight, the default's weight holds.
    """
    own = fusion_of(collection)
    if isinstance(given, UnsetType):
        return own
    kind = own.kind if isinstance(given.kind, UnsetType) else given.kind
    known = own if kind == own.kind else DEFAULT
    weight = known.weight if isinstance(given.weight, UnsetType) else given.weight
    rrf_k = known.rrf_k if isinstance(given.rrf_k, UnsetType) else given.rrf_k
    if given.rrf_k is not UNSET and kind != "rrf":
        raise InvalidArgument.at("/fusion/rrf_k", "rrf_k goes with kind: rrf")
    _check(weight, rrf_k, "/fusion")
    return FusionOptions(kind=kind, weight=weight, rrf_k=rrf_k)


def _check(weight: float, rrf_k: float, pointer: str) -> None:
    if not 0 <= weight <= 1:
        raise InvalidArgument.at(f"{pointer}/weight", "weight is the share of the dense leg, 0 to 1")
    if not (math.isfinite(rrf_k) and 0 < rrf_k <= 10_000):
        raise InvalidArgument.at(f"{pointer}/rrf_k", "rrf_k is above 0 and at most 10,000")
