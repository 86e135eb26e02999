"""The client for VectorDBBench: `python -m bench.vectordbbench` is that harness's command line with vdb in it.

It needs the package `vectordb-bench` beside this one; docs/benchmarks.md has the commands.
"""
