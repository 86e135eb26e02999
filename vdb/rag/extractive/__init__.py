"""Answers without a model: the best sentences of what was found; and how well that bears an answer at all."""

from vdb.rag.extractive.backend import EXTRACTIVE, Extractive
from vdb.rag.extractive.support import DEFAULT_THRESHOLD, similarities_of, support

__all__ = ["DEFAULT_THRESHOLD", "EXTRACTIVE", "Extractive", "similarities_of", "support"]
