"""The filter track of big-ann-benchmarks."""
