"""Tests of the semantic cache, and the trap set that its text guard is measured with."""
