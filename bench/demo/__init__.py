"""`make demo`: two tenants and one shared set of real sentences on a real server, and a proof on screen that they
stay apart. `python -m bench.demo` runs it; the sample and its licence are in `data/`.
"""

from collections.abc import Sequence

from bench.demo.show import run

__all__ = ["main"]


def main(arguments: Sequence[str] = ()) -> int:
    """Run the demo; 0 if every check held."""
    return run()
