"""`python -m bench.vectordbbench`: runs `bench.vectordbbench.run` in the place of this module.

Processes that are spawned import the main module again, unless it is called `__main__`.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("bench.vectordbbench.run", run_name="__main__", alter_sys=True)
