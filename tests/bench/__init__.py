"""Tests of the benchmark harness: tiny runs of each workload, and its parts. No time is asserted."""
