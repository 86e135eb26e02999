"""Isolation, in small: the state machine that `python -m bench isolation` runs at full size."""

from hypothesis import settings

from bench.isolation.machine import IsolationMachine

TestIsolation = IsolationMachine.TestCase
TestIsolation.settings = settings(max_examples=12, stateful_step_count=40)
