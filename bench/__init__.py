"""Benchmarks and proof harnesses, one module or folder per workload: `python -m bench <workload>`.

Runs that back a claim are committed in `bench/results/` with commit, machine, versions and command.
Not packaged.
"""
