"""Load relaxation: when it begins, when it ends."""

from vdb.cache.relaxation import OFF, ON, Relaxation


def _after(relaxation: Relaxation, load: float, n: int = 200) -> float:
    level = 0.0
    for _ in range(n):
        level = relaxation.level(load)
    return level


def test_it_is_off_until_load_is_high_and_on_until_load_is_low() -> None:
    relaxation = Relaxation()
    between = (ON + OFF) / 2
    assert _after(relaxation, between) == 0.0
    assert _after(relaxation, 1.0) > 0.99
    assert 0.0 < _after(relaxation, between) < ON
    assert _after(relaxation, OFF - 0.05) == 0.0
    assert _after(relaxation, between) == 0.0


def test_one_busy_lookup_does_not_switch_it_on() -> None:
    relaxation = Relaxation()
    assert relaxation.level(1.0) == 0.0


def test_a_load_that_is_none_is_taken_as_the_nearest_that_is() -> None:
    relaxation = Relaxation()
    assert 0.99 < _after(relaxation, 40.0) <= 1.0
    assert _after(relaxation, -40.0) == 0.0
