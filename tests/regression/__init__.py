"""Bugs that were found, each in a test named after what went wrong."""
