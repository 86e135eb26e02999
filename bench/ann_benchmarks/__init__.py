"""The plug-in for ann-benchmarks: its folder `vdb` is copied into that harness; docs/benchmarks.md has the commands."""
