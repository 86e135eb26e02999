"""`python -m bench.smoke.watch SEED`: measures everything once in this process; JSON by figure on standard output."""

import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.smoke.instructions import Instructions
from bench.smoke.library import in_process, kernels
from bench.smoke.served import over_http, startups
from bench.smoke.turns import Reading, measure

__all__ = ["N_ROUNDS", "run"]

N_ROUNDS = 60


def run(seed: int, n_rounds: int = N_ROUNDS) -> dict[str, Reading]:
    """Every figure with its value and unit."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdb-bench-")))
        watched = [*kernels(seed), *in_process(stack, folder, seed), *over_http(stack, folder / "server", seed)]
        found = measure(watched, n_rounds, Instructions.opened())
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as place:
        return found | startups(Path(place))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no JSON
    json.dump(run(int(sys.argv[1])), answers)
    answers.close()
