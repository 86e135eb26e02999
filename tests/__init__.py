"""Tests: they mirror the packages; beside them contract, property, crash, golden, docs and house."""
