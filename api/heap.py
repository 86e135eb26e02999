"""The server's heap once it has started: what is there for good is taken out of the garbage collector's sight.

numba and the other libraries are some hundred thousand objects. A full collection looks at each of them and stops every
thread meanwhile: 80 ms, some seconds after the start and now and then later, in the middle of somebody's search.
"""

import gc
import threading
from collections.abc import Callable

LOADING_S = 600.0
"""How long the compiled kernels are waited for."""


def settle(await_kernels: Callable[[float], None]) -> threading.Thread:
    """Collect once, in the background, when all is loaded, and never look at what is left again.

    `await_kernels` returns when the compiled kernels are there, or after so many seconds.
    """
    thread = threading.Thread(target=_settle, args=(await_kernels,), name="vdb-heap", daemon=True)
    thread.start()
    return thread


def _settle(await_kernels: Callable[[float], None]) -> None:
    await_kernels(LOADING_S)
    gc.collect()
    gc.freeze()
