"""Kernels compiled by numba. Importing a module below compiles or loads it, so only `vdb.kernels.dispatch` does."""
