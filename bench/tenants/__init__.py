"""Search of one tenant among many: ours, hnswlib per tenant, faiss with bitmaps, exact scans; recall and CPU µs.

Single thread, one Python call per query, CPU time of the thread, recall by distance over min(k, what the tenant may
see), k = 10. Every contender runs in a process of its own, with BLAS and OpenMP at one thread; peers have environments
of their own, made from the package index the first time. Each workload writes its own row. A peer that cannot be
installed is left out, and so is one that would take more than the limits allow. Environments, generated vectors, exact
answers and peers' indexes are kept in `--cache`.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the workloads asked for; 1 where a bar is missed."""
    from bench.tenants import command  # a peer's interpreter, which imports this package, has nothing that it needs

    return command.main(arguments, __doc__)
