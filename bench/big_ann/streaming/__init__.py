"""The streaming track of big-ann-benchmarks."""
