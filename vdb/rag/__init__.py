"""Retrieval for text: what finds chunks by their words, and what is made of that. Importing this is cheap."""
