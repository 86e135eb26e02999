"""Tests of retrieval for text: chunks, formats of documents, models, fusion."""
