"""Answers: what is found becomes a context, a backend writes, what it cites is told, and the cache keeps it."""
