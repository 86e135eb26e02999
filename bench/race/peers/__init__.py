"""Peers in races, each in an environment of its own, asked by the same code as ours.

`python -m peers.<name>` in the folder above runs one of them: it needs numpy and the peer's own packages, none of ours.
"""
