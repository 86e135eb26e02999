"""What a cache has learned, per tenant: how sure a match must be in each category, and where the categories lie.

Nothing of one tenant moves another's bar, or another's centroids.
"""

import base64
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from vdb.cache.calibration import Budgets, Calibration, CalibrationState
from vdb.cache.categories import REJECT_MARGIN, Centroids
from vdb.cache.labels import Label
from vdb.cache.policy import Policies, Policy
from vdb.storage.cache_labels import iterate_labels, label_categories
from vdb.storage.env import Transaction

logger = logging.getLogger(__name__)

OFF: Final = Policy(mode="off")
"""Of a category that is gone."""

Vector = NDArray[np.float32]
Example = tuple[str, Vector]
"""A category, and a vector that belongs to it."""


class Learned:
    """Looked at by any thread, changed by the one that publishes commits."""

    def __init__(self, policies: Policies, dimension: int, reject_margin: float | None = None) -> None:
        self._policies = policies
        self._dimension = dimension
        self.reject_margin = REJECT_MARGIN if reject_margin is None else reject_margin
        self._examples = _examples_of(policies)
        self._centroids: dict[int, Centroids] = {}
        self._only_examples = self._new_centroids()
        self._calibrations: dict[tuple[int, str], Calibration] = {}

    def load(self, txn: Transaction, states: Mapping[tuple[int, str], CalibrationState]) -> None:
        """All labels that are stored, on top of what calibrations had come to when their state was."""
        for tenant, category in {*label_categories(txn), *states}:
            labels = _labels(txn, tenant, category)
            budgets = budgets_of(self._policies.of(category) or OFF)
            state = states.get((tenant, category))
            self._calibrations[tenant, category] = Calibration.restored(budgets, state, labels)

    def calibration(self, tenant: int, category: str) -> Calibration:
        """What was learned of a tenant's category, made where nothing was."""
        found = self._calibrations.get((tenant, category))
        if found is None:
            policy = self._policies.of(category) or OFF
            found = self._calibrations.setdefault((tenant, category), Calibration(budgets_of(policy)))
        return found

    def known(self, tenant: int, category: str) -> Calibration | None:
        """The same, None where nothing was learned."""
        return self._calibrations.get((tenant, category))

    def calibrations(self) -> list[tuple[str, Calibration]]:
        """(category, what a tenant's was) of all tenants, at this moment."""
        return [(category, calibration) for (_, category), calibration in list(self._calibrations.items())]

    def classify(self, tenant: int, vector: Vector) -> str | None:
        """The category nearest to `vector` float32 (d,) of unit length; None where none is, or two are."""
        centroids = self._centroids.get(tenant, self._only_examples)
        category = centroids.classify(vector, self.reject_margin)
        return category if category is not None and self._policies.is_known(category) else None

    def entry_added(self, tenant: int, category: str, vector: Vector) -> None:
        """An entry whose category was given."""
        centroids = self._centroids.get(tenant)
        if centroids is None:
            centroids = self._centroids[tenant] = self._new_centroids()
        centroids.add(category, vector)

    def entry_removed(self, tenant: int, category: str, vector: Vector) -> None:
        """An entry that was added before."""
        centroids = self._centroids.get(tenant)
        if centroids is not None:
            centroids.remove(category, vector)

    def set_policies(self, policies: Policies) -> None:
        """Other budgets, other examples; labels stay."""
        self._policies = policies
        for (_, category), calibration in list(self._calibrations.items()):
            calibration.set_budgets(budgets_of(policies.of(category) or OFF))
        old, self._examples = self._examples, _examples_of(policies)
        self._only_examples = self._new_centroids()
        gone, new = _difference(old, self._examples), _difference(self._examples, old)
        for centroids in list(self._centroids.values()):
            for category, vector in new:  # first: look-ups that come in between find no category without its examples
                centroids.add(category, vector)
            for category, vector in gone:
                centroids.remove(category, vector)

    def forget_tenant(self, tenant: int) -> None:
        self._centroids.pop(tenant, None)
        for place in [place for place in list(self._calibrations) if place[0] == tenant]:
            del self._calibrations[place]

    def _new_centroids(self) -> Centroids:
        centroids = Centroids(self._dimension)
        for category, vector in self._examples:
            centroids.add(category, vector)
        return centroids


def _difference(these: list[Example], others: list[Example]) -> list[Example]:
    """Those of `these` that are not among `others`, each as often as it is there more often."""
    left = Counter((category, vector.tobytes()) for category, vector in others)
    found = []
    for category, vector in these:
        key = category, vector.tobytes()
        if left[key]:
            left[key] -= 1
        else:
            found.append((category, vector))
    return found


def _labels(txn: Transaction, tenant: int, category: str) -> Iterator[Label]:
    for stored in iterate_labels(txn, tenant, category):
        try:
            yield msgspec.json.decode(stored, type=Label)
        except msgspec.MsgspecError as exc:  # of a release that knew other labels
            logger.warning("a label is left out", exc_info=exc, extra={"tenant": tenant})


def budgets_of(policy: Policy) -> Budgets:
    """What of a policy a calibration needs."""
    return Budgets(
        max_false_per_request=policy.max_false_per_request,
        max_false_per_hit=policy.max_false_per_hit,
        explore=policy.explore,
        threshold=policy.threshold,
        relax=policy.relax_similarity,
    )


def _examples_of(policies: Policies) -> list[Example]:
    return [
        (category, np.frombuffer(base64.b64decode(example.vector), "<f4"))
        for category, policy in policies.by_category.items()
        for example in policy.examples
    ]
