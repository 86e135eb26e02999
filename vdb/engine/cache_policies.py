"""Policies of categories: put, read and removed by admins. A category is there once it has a policy."""

import base64
import math
from urllib.parse import SplitResult, urlsplit

import msgspec
import numpy as np

from vdb.cache.policy import LONGEST_TTL_S, UNKNOWN, ExampleVector, Policy
from vdb.config import Limits
from vdb.engine.cache_questions import checked_text, unit_vector
from vdb.engine.cache_shard import CacheGroup
from vdb.engine.services import Services
from vdb.engine.tenants import check_name
from vdb.errors import InvalidArgument, LimitReached, PolicyNotFound, TooLarge
from vdb.protocol import answers, cache_answers
from vdb.protocol.cache_requests import PutPolicy
from vdb.protocol.requests import Empty
from vdb.storage.cache_labels import put_policy as store_policy
from vdb.storage.cache_labels import remove_policy
from vdb.storage.catalog import CacheDocument
from vdb.types import Caller, Role

MOST_ENTRIES = 1 << 40
MAX_URL_CHARS = 2_048
_SHARES = ("max_false_per_request", "max_false_per_hit", "explore", "ttl_jitter")
_COUNTS = ("reserve_entries", "reserve_bytes", "max_entries", "max_bytes")


def put_policy(services: Services, caller: Caller, path: tuple[str, ...], request: PutPolicy) -> cache_answers.Policy:
    """Put a category's policy whole; raises CacheNotFound, InvalidArgument, TooLarge, LimitReached."""
    document, category = services.usable_cache(caller, path[0]), check_name(path[1], "")
    limits = services.settings.limits
    policy = _checked(request, document, limits)
    with services.caches.use(document) as shard:

        def apply(group: CacheGroup) -> None:
            policies = group.policies.put(category, policy)
            if len(policies.by_category) > limits.max_categories_per_cache:
                raise LimitReached(f"a cache holds up to {limits.max_categories_per_cache} categories")
            shard.check_reserves(policies, services.catalog.cache_by_id(document.id) or document)
            group.put_policies(policies, category)
            store_policy(group.txn, category, msgspec.json.encode(policy))
            group.next_sequence()

        shard.queue.submit(apply, 1024 + len(msgspec.json.encode(policy))).result()
    return _answer(caller, category, policy)


def get_policy(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> cache_answers.Policy:
    """A category's policy; for `unknown` the strictest of all where none was put. Raises PolicyNotFound."""
    document = services.usable_cache(caller, path[0])
    with services.caches.use(document) as shard:
        policy = shard.policies.of(path[1])
    if policy is None:
        raise PolicyNotFound("the cache has no category of that name")
    return _answer(caller, path[1], policy)


def list_policies(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> cache_answers.Policies:
    """All policies, by category."""
    document = services.usable_cache(caller, path[0])
    with services.caches.use(document) as shard:
        policies = shard.policies
    unknown = policies.of(UNKNOWN)
    assert unknown is not None, "unknown questions have a policy"
    found = [_answer(caller, category, policy) for category, policy in policies.by_category.items()]
    return cache_answers.Policies(policies=found, unknown=_answer(caller, UNKNOWN, unknown))


def delete_policy(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> answers.Done:
    """Remove a category; its entries are served no more, and are purged. Raises PolicyNotFound."""
    document = services.usable_cache(caller, path[0])
    with services.caches.use(document) as shard:

        def apply(group: CacheGroup) -> None:
            if not remove_policy(group.txn, path[1]):
                raise PolicyNotFound("the cache has no category of that name")
            group.next_sequence()
            group.put_policies(group.policies.without(path[1]), path[1])

        if path[1] not in shard.policies.by_category:
            raise PolicyNotFound("the cache has no category of that name")
        shard.queue.submit(apply, 1024, True).result()
    return answers.Done()


def _checked(request: PutPolicy, document: CacheDocument, limits: Limits) -> Policy:
    _check_numbers(request)
    _check_judge(request)
    if len(request.examples) > limits.max_examples_per_category:
        raise TooLarge.at("/examples", f"up to {limits.max_examples_per_category} examples")
    examples = []
    for i, example in enumerate(request.examples):
        text = checked_text(example.text, limits, f"/examples/{i}/text")
        vector = unit_vector(example.vector, document.dimension, f"/examples/{i}/vector")
        examples.append(ExampleVector(text, base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()))
    fields = {name: getattr(request, name) for name in Policy.__struct_fields__ if name != "examples"}
    return Policy(**fields, examples=tuple(examples))


def _check_numbers(request: PutPolicy) -> None:
    """Raise InvalidArgument at the first number out of range."""
    for name in ("threshold", "example_threshold"):
        value = getattr(request, name)
        if value is not None and not -1.0 <= value <= 1.0:
            raise InvalidArgument.at(f"/{name}", f"{name} is a cosine, -1 to 1")
    for name in _SHARES:
        if not 0.0 <= getattr(request, name) <= 1.0:
            raise InvalidArgument.at(f"/{name}", f"{name} is 0 to 1")
    if not 0.0 <= request.relax_similarity <= 2.0:
        raise InvalidArgument.at("/relax_similarity", "relax_similarity is 0 to 2")
    if not (0.0 <= request.relax_ttl <= 10.0 and math.isfinite(request.relax_ttl)):
        raise InvalidArgument.at("/relax_ttl", "relax_ttl is 0 to 10")
    if not 0.001 <= request.ttl_s <= LONGEST_TTL_S:
        raise InvalidArgument.at("/ttl_s", f"ttl_s is 0.001 to {LONGEST_TTL_S:g}")
    for name in _COUNTS:
        value = getattr(request, name)
        if value is not None and not 0 <= value <= MOST_ENTRIES:
            raise InvalidArgument.at(f"/{name}", f"{name} is 0 to {MOST_ENTRIES}")
    for what in ("entries", "bytes"):
        most = getattr(request, f"max_{what}")
        if most is not None and getattr(request, f"reserve_{what}") > most:
            raise InvalidArgument.at(f"/reserve_{what}", "a reserve is at most the cap")


def _check_judge(request: PutPolicy) -> None:
    if (request.compare == "judge") != (request.judge_url is not None):
        raise InvalidArgument.at("/judge_url", "judge_url goes with compare: judge, and only with it")
    if request.judge_url is not None:
        parts = _url_parts(request.judge_url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidArgument.at("/judge_url", "judge_url is an http or https URL")
        if "@" in parts.netloc:  # it would stand in the audit log
            raise InvalidArgument.at("/judge_url", "judge_url has no user or password in it")


def _url_parts(url: str) -> SplitResult | None:
    """The parts of a URL of 2,048 characters at most, None where it is none."""
    try:
        parts = urlsplit(url)
        is_good = len(url) <= MAX_URL_CHARS and url.isascii() and url.isprintable() and parts.port != 0
    except ValueError:
        return None
    return parts if is_good else None


def _answer(caller: Caller, category: str, policy: Policy) -> cache_answers.Policy:
    """A policy as the caller may see it: where answers are judged is for admins."""
    hidden = ("examples",) if caller.role is Role.ADMIN else ("examples", "judge_url")
    fields = {name: getattr(policy, name) for name in Policy.__struct_fields__ if name not in hidden}
    return cache_answers.Policy(category=category, **fields, n_examples=len(policy.examples))
