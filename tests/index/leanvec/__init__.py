"""Tests of vdb.index.leanvec."""
