"""Tests of retrieval for text."""
