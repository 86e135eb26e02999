"""Wrappers for big-ann-benchmarks (NeurIPS'23): their folders are copied into that harness; docs/benchmarks.md has how.

`truth` is a tool of its own, for runbooks whose true neighbours are not there to be downloaded.
"""
