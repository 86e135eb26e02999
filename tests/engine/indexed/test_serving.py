"""What answers is laid out as of the last commit that it took, whatever was given up beside it."""

from types import SimpleNamespace
from typing import Any

from vdb.engine.serving import Serving


def test_a_layout_is_as_of_what_the_index_took_though_readings_had_not() -> None:
    """A build that began between the two, and failed, once had the next layout begin a commit too early."""
    kind: Any = SimpleNamespace(show=lambda index: None)
    index: Any = SimpleNamespace(begin_layout=lambda sequence: sequence)
    serving = Serving(kind, "books")
    serving.show(index, kind)
    assert serving.publish([], 7)
    with serving.gathering(6):
        pass
    assert serving.begin_layout(index, 6) == 7
    serving.publish([], 8)
    assert serving.begin_layout(index, 7) == 8
