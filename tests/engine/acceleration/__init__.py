"""Searches on an accelerator, on a device of plain arrays: batches, copies of indexes, fallback, choice."""
