"""Two tenants and one shared set of real sentences, and a proof on screen that the tenants stay apart.

`make demo` runs it on a server of its own; the sample and its licence are in `data/`.
"""

from collections.abc import Sequence

from bench.demo.show import run

__all__ = ["main"]


def main(arguments: Sequence[str] = ()) -> int:
    """Run the demo; 0 if every check held."""
    return run()
