"""Tests of storage: layouts, environments, the check of a directory."""
