"""The cost of look-ups over HTTP is measured for every leg."""

from argparse import Namespace

from bench.cache.http import measure


def test_every_leg_has_a_figure() -> None:
    figures = measure(Namespace(quick=True, seed=1))
    assert [figure.name for figure in figures] == [
        "server, hit, JSON",
        "server, hit, base64",
        "server, miss, JSON",
        "server, equal question",
        "server, hit, by the SDK",
        "client, SDK",
    ]
    assert all(figure.value >= 0.0 for figure in figures)
