"""Part `eviction`: hit ratios of our eviction beside LRU, plain SIEVE and S3-FIFO, on the same arrivals.

Arrivals name a question by a number; it is stored on a miss. They are a mix of three categories by Zipf's law
(exponents 1.1, 0.8 and 0.4: from code to chat), the same with scans (6,000 questions that are asked once after each
tenth), and one category whose popular questions change ten times. Ours is measured as one class of entries, and with a
class per category and no quotas, which shares the cache out evenly among those that want more. Report only: no bars.
"""

import argparse
from collections import OrderedDict
from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from bench.report import Figure
from vdb.cache.eviction import Bounds, Eviction, Incoming
from vdb.cache.sieve import Node, Sieve

CATEGORIES = ((20_000, 1.1, 0.4), (20_000, 0.8, 0.3), (40_000, 0.4, 0.3))
"""Questions, exponent, share of the arrivals."""
N_ARRIVALS, SCAN = 200_000, 6_000
SIZES = (2_000, 8_000)

Asked = Callable[[int, int], bool]
"""(question, category) → whether it is a hit; a miss stores it."""


def lru(size: int) -> Asked:
    kept: OrderedDict[int, None] = OrderedDict()

    def ask(question: int, category: int) -> bool:
        if question in kept:
            kept.move_to_end(question)
            return True
        if len(kept) >= size:
            kept.popitem(last=False)
        kept[question] = None
        return False

    return ask


def s3_fifo(size: int) -> Asked:
    """Small queue of a tenth, main queue, ghosts as many as entries; counts up to 3 (SOSP 2023)."""
    small: OrderedDict[int, int] = OrderedDict()
    main: OrderedDict[int, int] = OrderedDict()
    ghosts: OrderedDict[int, None] = OrderedDict()

    def evict_small() -> bool:
        while small:
            question, n_hits = small.popitem(last=False)
            if not n_hits:
                ghosts[question] = None
                if len(ghosts) > size:
                    ghosts.popitem(last=False)
                return True
            main[question] = 0
        return False

    def evict_main() -> None:
        while main:
            question, n_hits = main.popitem(last=False)
            if not n_hits:
                return
            main[question] = n_hits - 1

    def ask(question: int, category: int) -> bool:
        for queue in (small, main):
            if question in queue:
                queue[question] = min(3, queue[question] + 1)
                return True
        if len(small) + len(main) >= size and not ((len(small) >= size // 10 or not main) and evict_small()):
            evict_main()
        (main if question in ghosts else small)[question] = 0
        ghosts.pop(question, None)
        return False

    return ask


def sieve(size: int) -> Asked:
    """Our queue without the hint: no key comes twice, so nothing that comes back is known."""
    queue, kept, keys = Sieve(), dict[int, Node](), count()

    def ask(question: int, category: int) -> bool:
        node = kept.get(question)
        if node is not None:
            node.is_visited = True
            return True
        if len(kept) >= size:
            del kept[queue.evict([]).number]
            queue.trim_ghosts()
        kept[question] = Node(question, 1, b"%d" % next(keys), False)
        queue.add(kept[question], [])
        return False

    return ask


def ours(size: int, has_categories: bool = False) -> Asked:
    eviction = Eviction(Bounds(max_entries=size))

    def ask(question: int, category: int) -> bool:
        if question in eviction:
            eviction.hit(question)
            return True
        place = str(category if has_categories else 0)
        eviction.admit(Incoming(1, place, question, 1, b"%d" % question))
        return False

    return ask


POLICIES: dict[str, Callable[[int], Asked]] = {
    "ours": ours,
    "ours, by category": lambda size: ours(size, has_categories=True),
    "plain SIEVE": sieve,
    "S3-FIFO": s3_fifo,
    "LRU": lru,
}


def _zipf(n_questions: int, exponent: float, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    weights = np.arange(1, n_questions + 1) ** -exponent
    ranks = rng.choice(n_questions, n, p=weights / weights.sum())
    return rng.permutation(n_questions)[ranks].astype(np.int64)


def mixed(n: int, n_scanned: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(arrivals, 2): question, category; scans have a category of their own."""
    categories = rng.choice(len(CATEGORIES), n, p=[share for _, _, share in CATEGORIES])
    asked = np.stack((np.zeros(n, np.int64), categories), axis=1)
    first = 0
    for category, (n_questions, exponent, _) in enumerate(CATEGORIES):
        rows = np.nonzero(categories == category)[0]
        asked[rows, 0] = first + _zipf(n_questions, exponent, len(rows), rng)
        first += n_questions
    parts = []
    for part in np.array_split(asked, 10):
        scan = np.stack((np.arange(first, first + n_scanned), np.full(n_scanned, len(CATEGORIES))), axis=1)
        parts += [part, scan]
        first += n_scanned
    return np.concatenate(parts)


def drifting(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(arrivals, 2): what is popular changes ten times."""
    questions = np.concatenate([_zipf(20_000, 1.0, n // 10, rng) for _ in range(10)])
    return np.stack((questions, np.zeros(len(questions), np.int64)), axis=1)


def hit_ratio(ask: Asked, arrivals: NDArray[np.int64]) -> float:
    """Hits per arrival, in per cent."""
    return 100.0 * sum(ask(question, category) for question, category in arrivals.tolist()) / len(arrivals)


def measure(given: argparse.Namespace) -> list[Figure]:
    """Hit ratios in per cent."""
    rng = np.random.default_rng(given.seed)
    share = 20 if given.quick else 1
    n = N_ARRIVALS // share
    workloads = {
        "Zipf": mixed(n, 0, rng),
        "Zipf and scans": mixed(n, SCAN // share, rng),
        "changing": drifting(n, rng),
    }
    return [
        Figure(f"{workload}, {size:,} entries, {name}: hits", hit_ratio(make(size // share), arrivals), "%")
        for workload, arrivals in workloads.items()
        for size in SIZES
        for name, make in POLICIES.items()
    ]
